//! `weir run ROLE`: what each role refuses before there is a broker.

use expect_test::expect;
use rustix::process::Signal;
use weir_tests::roles::{Role, Site};
use weir_tests::weir::run;

use super::{check, said};

/// No program listens there.
const NO_BROKER: &str = "amqp://u:pa55-of-this-test@127.0.0.1:1/v";

#[tokio::test]
async fn a_single_role_requires_a_shared_broker() {
    let folder = tempfile::tempdir().unwrap();
    for role in Role::ALL {
        let output = run(folder.path(), &["run", role.word()]).await;
        let text = said(&output, folder.path());
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains(&format!("weir run {} requires a broker", role.word())) && text.contains("--broker"), "{text}");
    }
    check(
        &run(folder.path(), &["run", "host", "--broker", "embedded:"]).await,
        folder.path(),
        78,
        &expect![[r#"
            error: weir run host requires a broker shared by all roles: the embedded broker serves a single process
              next: set the broker: --broker amqp://HOST/VHOST or --broker pulsar://HOST, or, if the URL has a password, WEIR_BROKER_URL or `url` in section [broker] of the settings file; or run all roles in one process: weir up
        "#]],
    );
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was made");
}

#[tokio::test]
async fn a_data_folder_used_by_another_role_is_refused_with_its_process() {
    let site = Site::on(NO_BROKER);
    let mut flow = site.begin(Role::Flow, "one", &[]);
    flow.says("waiting for the broker").await;
    for (role, listen) in [(Role::Config, ""), (Role::Host, ""), (Role::Gateway, " --listen 127.0.0.1:0")] {
        let mut second = site.begin(role, "one", &[]);
        assert_eq!(second.ended().await.code(), Some(73));
        let (said, data) = (second.said(), site.data("one").display().to_string());
        let what = format!("the data folder {data} is in use by process {} (weir run flow)", flow.pid());
        assert!(said.contains(&what), "{said}");
        let next = format!("give this one its own folder: weir run {} --data DIR{listen}", role.word());
        assert!(said.contains(&next), "{said}");
    }
    assert_eq!(flow.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_waiting_role_ends_on_a_signal_and_shows_no_password() {
    let site = Site::on(NO_BROKER);
    for (role, signal) in Role::ALL.into_iter().zip([Signal::INT, Signal::TERM, Signal::INT, Signal::TERM]) {
        let mut process = site.begin(role, role.word(), &[]);
        process.says("waiting for the broker amqp://u:***@127.0.0.1:1/v; press Ctrl-C to stop Weir").await;
        let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", process.pid())).unwrap();
        process.signal(signal);
        let status = process.ended().await;
        let said = process.said();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!said.contains("pa55") && !arguments.contains("pa55"), "{said}");
    }
}

#[tokio::test]
async fn arguments_of_hosts_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, reason) in [
        (["--processor", "a:b"], "a processor's name must not be empty or contain a colon"),
        (["--processor", "a="], "the file is missing"),
        (["--name", ""], "the name is empty"),
    ] {
        let output = run(folder.path(), &[&["run", "host"], &arguments[..]].concat()).await;
        let text = said(&output, folder.path());
        assert!(output.status.code() == Some(64) && text.contains(reason), "{text}");
    }
    // A role that is not a gateway has no address.
    let output = run(folder.path(), &["run", "config", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(output.status.code(), Some(64), "{}", said(&output, folder.path()));
}
