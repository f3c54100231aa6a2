//! A gateway with TLS, as served by `weir up`, and whether the other commands trust it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use expect_test::expect;
use tempfile::TempDir;
use weir_tests::certificates::{Authority, Certificate};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::{Weir, run};

use super::{check, said};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
const READ: &str = "a-token-that-may-only-read";
const ALL: &str = "a-token-that-may-do-it-all";

/// A Weir with TLS, and the CA of its first certificate.
struct Secure {
    weir: Weir,
    authority: Authority,
    folder: TempDir,
}

impl Secure {
    async fn up(certificate: impl FnOnce(&Authority) -> Certificate, arguments: &[&str]) -> Secure {
        let (authority, folder) = (Authority::new("trusted"), tempfile::tempdir().unwrap());
        let (file, key) = certificate(&authority).write(folder.path());
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        fs::write(folder.path().join("other.pem"), Authority::new("other").pem()).unwrap();
        let files = ["--tls-cert", file.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let weir = Weir::up_with(&folder.path().join("data"), &[&files, arguments].concat()).await;
        Secure { weir, authority, folder }
    }

    /// Runs a command as a user of another machine, who has only the address and a CA.
    async fn ask(&self, host: &str, ca: Option<&str>) -> Output {
        let url = format!("https://{host}:{}", self.port());
        let ca = ca.map(|file| self.folder.path().join(file));
        let mut arguments = vec!["status", "--gateway", &url];
        arguments.extend(ca.as_ref().map(|file| ["--ca", file.to_str().unwrap()]).iter().flatten());
        run(&self.folder.path().join("nothing"), &arguments).await
    }

    fn port(&self) -> &str {
        self.weir.url().rsplit(':').next().unwrap()
    }

    /// Writes another certificate, makes Weir reread it, and waits for the log message.
    async fn replace(&self, certificate: &Certificate, logged: &str) {
        let count = self.count(logged);
        certificate.write(self.folder.path());
        self.weir.hang_up();
        eventually(DEADLINE, logged, || async { (self.count(logged) > count).then_some(()) }).await;
    }

    fn count(&self, logged: &str) -> usize {
        self.weir.said().matches(logged).count()
    }

    fn check(&self, output: &Output, exit: i32, expected: &expect_test::Expect) {
        let text = said(output, self.folder.path()).replace(self.port(), "PORT");
        assert_eq!(output.status.code(), Some(exit), "{text}");
        expected.assert_eq(&text);
    }

    fn must(&self, output: &Output) {
        assert!(output.status.success(), "{}", said(output, self.folder.path()));
    }
}

const REREAD: &str = "certificate reread";

#[tokio::test]
async fn commands_trust_the_right_certificate_and_no_other() {
    let secure = Secure::up(|authority| authority.certificate(&NAMES), &[]).await;
    assert!(secure.weir.url().starts_with("https://127.0.0.1:"), "{}", secure.weir.url());
    for host in NAMES {
        secure.must(&secure.ask(host, Some("ca.pem")).await);
    }
    secure.check(
        &secure.ask("localhost", Some("other.pem")).await,
        69,
        &expect![[r#"
            error: Weir at https://localhost:PORT (from --gateway or WEIR_GATEWAY) cannot be trusted: its certificate is not signed by a trusted CA
              next: give the CA that signed it: --ca FILE (or WEIR_CA), a PEM file
        "#]],
    );
    secure.check(
        &secure.ask("localhost", None).await,
        69,
        &expect![[r#"
            error: Weir at https://localhost:PORT (from --gateway or WEIR_GATEWAY) cannot be trusted: its certificate is not signed by a trusted CA
              next: give the CA that signed it: --ca FILE (or WEIR_CA), a PEM file
        "#]],
    );

    secure.replace(&secure.authority.certificate(&["weir.example", "10.0.0.1"]), REREAD).await;
    secure.check(
        &secure.ask("localhost", Some("ca.pem")).await,
        69,
        &expect![[r#"
            error: Weir at https://localhost:PORT (from --gateway or WEIR_GATEWAY) cannot be trusted: its certificate is for weir.example, 10.0.0.1, not for localhost
              next: use a name in the certificate for --gateway, or replace the gateway's certificate with one for this name
        "#]],
    );
    secure.replace(&secure.authority.expired(&NAMES), REREAD).await;
    secure.check(
        &secure.ask("localhost", Some("ca.pem")).await,
        69,
        &expect![[r#"
            error: Weir at https://localhost:PORT (from --gateway or WEIR_GATEWAY) cannot be trusted: its certificate has expired: on 2021-01-01 00:00:00 UTC
              next: replace it: write the new certificate and key to the gateway's --tls-cert and --tls-key files, and send its process SIGHUP
        "#]],
    );
    // Commands on the data folder use what is recorded there, whatever the names and dates of the certificate.
    eventually(DEADLINE, "the note", || async { secure.weir.run(&["status"]).await.status.success().then_some(()) }).await;
    secure.replace(&secure.authority.certificate(&NAMES), REREAD).await;
    secure.must(&secure.ask("localhost", Some("ca.pem")).await);
}

#[tokio::test]
async fn an_address_of_the_wrong_scheme_is_reported() {
    let secure = Secure::up(|authority| authority.certificate(&NAMES), &[]).await;
    let data = secure.folder.path().join("nothing");
    let plain = format!("http://localhost:{}", secure.port());
    secure.check(
        &run(&data, &["status", "--gateway", &plain]).await,
        64,
        &expect![[r#"
            error: this port requires TLS: use https:// in the address, or wss:// for a WebSocket
              next: use https:// in --gateway, and --ca FILE unless the system trusts the certificate
        "#]],
    );
    let other = tempfile::tempdir().unwrap();
    let weir = Weir::up(other.path()).await;
    let url = weir.url().replace("http:", "https:");
    let ca = secure.folder.path().join("ca.pem");
    let refused = run(&data, &["status", "--gateway", &url, "--ca", ca.to_str().unwrap()]).await;
    assert_eq!(refused.status.code(), Some(69));
    expect![[r#"
        error: Weir at URL (from --gateway or WEIR_GATEWAY) cannot be trusted: it does not use TLS
          next: use http:// in --gateway, or the gateway's TLS port
    "#]]
    .assert_eq(&said(&refused, secure.folder.path()).replace(&url, "URL"));
}

#[tokio::test]
async fn a_new_certificate_is_used_for_new_connections_and_a_bad_one_is_not() {
    let secure = Secure::up(|authority| authority.certificate(&NAMES), &[]).await;
    let client = weir_tests::http::client().tls_danger_accept_invalid_certs(true).tls_info(true);
    let open = client.build().unwrap();
    let certificate = async |client: &reqwest::Client| {
        let response = client.get(secure.weir.path("/healthz")).send().await.unwrap();
        let certificate = response.extensions().get::<reqwest::tls::TlsInfo>().unwrap().peer_certificate().unwrap().to_vec();
        assert_eq!(response.text().await.unwrap(), "{\"status\":\"ok\"}");
        certificate
    };
    let fresh = || weir_tests::http::client().tls_danger_accept_invalid_certs(true).tls_info(true).build().unwrap();
    let first = certificate(&open).await;
    secure.replace(&secure.authority.certificate(&NAMES), REREAD).await;
    let second = certificate(&fresh()).await;
    assert_ne!(first, second);
    assert_eq!(certificate(&open).await, first, "a connection that is open goes on");

    let bad = "certificate or key unusable: the previous pair stays in use";
    let good = secure.authority.certificate(&NAMES);
    for (certificate_of, why) in [
        (Certificate { key: secure.authority.certificate(&NAMES).key, ..good.clone() }, "does not belong to the certificate"),
        (Certificate { pem: String::new(), ..good.clone() }, "contains no certificate"),
        (Certificate { pem: good.pem.replace("MI", "!!"), ..good.clone() }, "is damaged"),
        (Certificate { key: good.pem.clone(), ..good.clone() }, "contains no usable private key"),
    ] {
        secure.replace(&certificate_of, bad).await;
        assert!(secure.weir.said().contains(why), "{why}");
        assert_eq!(certificate(&fresh()).await, second, "{why}");
    }
    assert!(!secure.weir.said().contains(good.key.lines().nth(1).unwrap()), "the key is never logged");
}

#[tokio::test]
async fn tokens_are_reloaded_and_a_bad_file_changes_nothing() {
    let tokens = tempfile::tempdir().unwrap();
    let file = tokens.path().join("tokens");
    fs::write(&file, format!("# of the test\nread {READ}\ndeploy {ALL}\n")).unwrap();
    let secure = Secure::up(|authority| authority.certificate(&NAMES), &["--token-file", file.to_str().unwrap()]).await;
    let status =
        async |token: &str| secure.weir.http().get(secure.weir.path("/metrics")).bearer_auth(token).send().await.unwrap().status().as_u16();
    assert_eq!((status(READ).await, status("a-token-of-another-gateway").await), (200, 401));
    // Commands on the data folder have the larger limit.
    secure.weir.must(&["config", "put", "prompt", "greeting", "1"]).await;
    let url = secure.weir.url().to_owned();
    let ca = secure.folder.path().join("ca.pem");
    let put = ["config", "put", "prompt", "greeting", "2", "--gateway", &url, "--ca", ca.to_str().unwrap()];
    let refused = secure.weir.command(&put).env("WEIR_TOKEN", READ).output().unwrap();
    secure.check(
        &refused,
        77,
        &expect![[r#"
            error: the value of `greeting` (type `prompt`) was not stored
              because: `put` of configuration requires a token of scope `operate`; the token of this request has scope `read`: use one of scope `operate`
              next: set WEIR_TOKEN to a token of that scope, or give the data folder of that Weir: --data DIR
        "#]],
    );

    fs::write(&file, "the-token-that-is-new").unwrap();
    secure.weir.hang_up();
    let logged = |text: &'static str| {
        let secure = &secure;
        async move { eventually(DEADLINE, text, || async { secure.weir.said().contains(text).then_some(()) }).await }
    };
    logged("token file reread").await;
    assert_eq!((status(READ).await, status(ALL).await, status("the-token-that-is-new").await), (401, 401, 200));
    eventually(DEADLINE, "the note", || async { secure.weir.run(&["status"]).await.status.success().then_some(()) }).await;

    fs::write(&file, format!("read {READ}\nwrite {ALL}\n")).unwrap();
    secure.weir.hang_up();
    logged("token file unusable: the previous tokens stay valid").await;
    logged("line 2: its first word is not a scope: use read, operate or deploy").await;
    assert_eq!((status(READ).await, status("the-token-that-is-new").await), (401, 200));
    let said = secure.weir.said();
    assert!(![READ, ALL, "the-token-that-is-new"].iter().any(|token| said.contains(token)), "{said}");
    assert!(secure.weir.end().await.success());
}

fn in_folder(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn an_externally_reachable_address_requires_a_token_and_tls() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let up = ["up", "--listen", "0.0.0.0:0"];
    check(
        &run(&data, &up).await,
        folder.path(),
        78,
        &expect![[r#"
            error: the gateway does not listen on 0.0.0.0:0 (setting `listen`): other machines can reach it there
              - a token is missing: set gateway.token-file (--token-file FILE) or WEIR_TOKEN
              - TLS is missing: set gateway.tls-cert and gateway.tls-key (--tls-cert FILE --tls-key FILE), or gateway.behind-proxy (--behind-proxy) if a proxy in front of the gateway terminates TLS
              next: set what is missing, or listen on this machine only: --listen 127.0.0.1:8088
        "#]],
    );
    let token = in_folder(folder.path(), "token", ALL);
    let with_token = run(&data, &[&up[..], &["--token-file", token.to_str().unwrap()]].concat()).await;
    check(
        &with_token,
        folder.path(),
        78,
        &expect![[r#"
            error: the gateway does not listen on 0.0.0.0:0 (setting `listen`): other machines can reach it there
              - TLS is missing: set gateway.tls-cert and gateway.tls-key (--tls-cert FILE --tls-key FILE), or gateway.behind-proxy (--behind-proxy) if a proxy in front of the gateway terminates TLS
              next: set what is missing, or listen on this machine only: --listen 127.0.0.1:8088
        "#]],
    );
    let (certificate, key) = Authority::new("trusted").certificate(&NAMES).write(folder.path());
    let files = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    for given in [&files[..], &["--behind-proxy"]] {
        let refused = run(&data, &[&up[..], given].concat()).await;
        let text = said(&refused, folder.path());
        assert!(refused.status.code() == Some(78) && text.contains("a token is missing") && !text.contains("TLS is missing"), "{text}");
    }
    check(
        &run(&data, &["up", "--behind-proxy", "--tls-key", key.to_str().unwrap()]).await,
        folder.path(),
        64,
        &expect![[r#"
            error: invalid setting
              - command line, --tls-key: gateway.tls-key: requires gateway.tls-cert: set both or none
              next: fix them, then run `weir settings show`; docs/operating.md describes every setting
        "#]],
    );
    check(
        &run(&data, &["up", "--listen", "127.0.0.1:0", "--tls-cert", "/nothing.pem", "--tls-key", key.to_str().unwrap()]).await,
        folder.path(),
        66,
        &expect![[r#"
            error: the gateway's TLS cannot be set up
              because: the TLS certificate /nothing.pem cannot be read
              because: No such file or directory (os error 2)
              next: check gateway.tls-cert (--tls-cert FILE) and gateway.tls-key (--tls-key FILE)
        "#]],
    );
    let swapped = ["up", "--listen", "127.0.0.1:0", "--tls-cert", key.to_str().unwrap(), "--tls-key", certificate.to_str().unwrap()];
    check(
        &run(&data, &swapped).await,
        folder.path(),
        78,
        &expect![[r#"
            error: the gateway's TLS cannot be set up
              because: the TLS certificate DIR/gateway-key.pem contains no certificate: give a PEM file that contains `-----BEGIN CERTIFICATE-----`
              next: check gateway.tls-cert (--tls-cert FILE) and gateway.tls-key (--tls-key FILE)
        "#]],
    );
    assert!(!data.exists());
}

#[tokio::test]
async fn a_token_is_not_sent_unencrypted_nor_a_wrong_ca_used() {
    let folder = tempfile::tempdir().unwrap();
    // No connection is attempted.
    let mut command = weir_tests::weir::command(folder.path(), &["status", "--gateway", "http://weir.example:8088"]);
    check(
        &command.env("WEIR_TOKEN", ALL).output().unwrap(),
        folder.path(),
        64,
        &expect![[r#"
            error: the token is not sent to http://weir.example:8088: without TLS it could be read in transit
              next: use an https:// address in --gateway, or unset WEIR_TOKEN
        "#]],
    );
    let ca = in_folder(folder.path(), "ca.pem", "not a certificate");
    check(
        &run(folder.path(), &["status", "--gateway", "https://weir.example:8088", "--ca", ca.to_str().unwrap()]).await,
        folder.path(),
        65,
        &expect![[r#"
            error: the CA file DIR/ca.pem contains no certificate: give a PEM file that contains `-----BEGIN CERTIFICATE-----`
              next: give a PEM file with the CA certificate: --ca FILE
        "#]],
    );
    let missing = run(folder.path(), &["status", "--gateway", "https://weir.example:8088", "--ca", "/nothing.pem"]).await;
    check(
        &missing,
        folder.path(),
        66,
        &expect![[r#"
            error: the CA file /nothing.pem cannot be read
              because: No such file or directory (os error 2)
              next: check the path of --ca or WEIR_CA; it is relative to the current directory
        "#]],
    );
}

#[tokio::test]
async fn doctor_reports_certificate_expiry_and_file_problems() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("trusted");
    let doctor = async |certificate: Certificate, more: &[&str]| {
        let (file, key) = certificate.write(folder.path());
        let files = ["doctor", "--json", "--tls-cert", file.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
        let output = run(&folder.path().join("data"), &[&files[..], more].concat()).await;
        let checks: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let (all, here) = (checks["checks"].as_array().unwrap().clone(), folder.path().display().to_string());
        move |name: &str| {
            let found = all.iter().find(|found| found["check"] == name).unwrap_or_else(|| panic!("no {name}: {all:?}"));
            (found["grade"].as_str().unwrap().to_owned(), found["what"].as_str().unwrap().replace(&here, "DIR"))
        }
    };
    let found = doctor(authority.certificate(&NAMES), &[]).await;
    let (grade, what) = found("certificate");
    assert!(grade == "ok" && what.starts_with("DIR/gateway.pem is valid until 4096-01-01 00:00:00 UTC, for "), "{what}");
    // Files of the test are readable by all users.
    let (grade, what) = found("TLS key");
    assert!(grade == "warn" && what.starts_with("the TLS key DIR/gateway-key.pem can be read by all users of this machine"), "{what}");
    let (grade, what) = doctor(authority.expired(&NAMES), &["--listen", "0.0.0.0:8088"]).await("certificate");
    assert_eq!((grade.as_str(), what.as_str()), ("fail", "DIR/gateway.pem expired on 2021-01-01 00:00:00 UTC: clients reject it"));
    let (grade, what) = doctor(authority.certificate(&NAMES), &["--listen", "0.0.0.0:8088"]).await("listen");
    assert!(grade == "fail" && what.contains("a token is missing") && !what.contains("TLS is missing"), "{what}");
    let other = Certificate { key: authority.certificate(&NAMES).key, ..authority.certificate(&NAMES) };
    let (grade, what) = doctor(other, &[]).await("certificate");
    assert!(
        grade == "fail" && what.contains("the TLS key DIR/gateway-key.pem does not belong to the certificate DIR/gateway.pem"),
        "{what}"
    );
}
