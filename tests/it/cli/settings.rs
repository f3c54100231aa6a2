//! Settings: their sources, how they are shown, and the errors for wrong ones.

use std::fs;

use expect_test::expect;
use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::weir::{Weir, command, run};

use super::{check, said};

#[tokio::test]
async fn a_file_with_three_mistakes_reports_all_three() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("settings.toml"),
        "grace = \"soon\"\n\n[gateway]\nmax-bodi = \"1MiB\"\n\n[broker]\nqueue-limit = \"2GiB\"\ndisk-reserve-percent = 100\n",
    )
    .unwrap();
    let expected = expect![[r#"
        error: 3 invalid settings
          - DIR/settings.toml, line 1, column 9: grace: "soon" is not a valid time; allowed: a time from 0s to 1h
          - DIR/settings.toml, line 4, column 1: gateway.max-bodi: there is no such setting; did you mean gateway.max-body?
          - DIR/settings.toml, line 8, column 24: broker.disk-reserve-percent: 100 is too large; allowed: a number from 0 to 99
          next: fix them, then run `weir settings show`; docs/operating.md describes every setting
    "#]];
    check(&run(folder.path(), &["up"]).await, folder.path(), 78, &expected);
    check(&run(folder.path(), &["settings", "show"]).await, folder.path(), 78, &expected);
    assert!(!folder.path().join("queues").exists(), "nothing was started");
    let output = run(folder.path(), &["settings", "show", "--json"]).await;
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    let places: Vec<(u64, &str)> = error["error"]["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| (detail["line"].as_u64().unwrap(), detail["field"].as_str().unwrap()))
        .collect();
    assert_eq!(places, [(1, "grace"), (4, "gateway.max-bodi"), (8, "broker.disk-reserve-percent")]);
}

#[tokio::test]
async fn faults_of_flags_are_reported_together() {
    let folder = tempfile::tempdir().unwrap();
    check(
        &run(folder.path(), &["up", "--listen", "0.0.0.0", "--grace", "soon", "--log-format", "jason", "--set", "retry.atempts=3"]).await,
        folder.path(),
        64,
        &expect![[r#"
            error: 4 invalid settings
              - command line, --listen: listen: "0.0.0.0" is not an address with a port; allowed: an address and port, for example 127.0.0.1:8088 or 0.0.0.0:8088; port 0 selects a free port
              - command line, --grace: grace: "soon" is not a valid time; allowed: a time from 0s to 1h
              - command line, --log-format: log.format: "jason" is not a valid value; did you mean "json"?; allowed: text or json
              - command line, --set: retry.atempts: there is no such setting; did you mean retry.attempts?
              next: fix them, then run `weir settings show`; docs/operating.md describes every setting
        "#]],
    );
}

#[tokio::test]
async fn a_manifest_or_an_unreadable_file_is_not_a_settings_file() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("weir.toml");
    fs::write(&manifest, "").unwrap();
    let show = async |file: &str| run(folder.path(), &["settings", "show", "--settings", file]).await;
    check(
        &show(manifest.to_str().unwrap()).await,
        folder.path(),
        64,
        &expect![[r#"
            error: DIR/weir.toml is a component's manifest by its name, not a settings file
              next: give a file such as settings.toml; weir init writes one
        "#]],
    );
    check(
        &show(folder.path().join("none.toml").to_str().unwrap()).await,
        folder.path(),
        66,
        &expect![[r#"
            error: the settings file DIR/none.toml cannot be read
              because: No such file or directory (os error 2)
              next: weir init writes one that explains every setting
        "#]],
    );
    let odd = folder.path().join("odd.toml");
    fs::write(&odd, b"grace = \"1s\"\n# \xff\n").unwrap();
    check(
        &show(odd.to_str().unwrap()).await,
        folder.path(),
        78,
        &expect![[r#"
            error: the settings file DIR/odd.toml is not UTF-8 in line 2
              next: save it as UTF-8
        "#]],
    );
    fs::create_dir(folder.path().join("folder.toml")).unwrap();
    check(
        &show(folder.path().join("folder.toml").to_str().unwrap()).await,
        folder.path(),
        66,
        &expect![[r#"
            error: the settings file DIR/folder.toml cannot be read
              because: Is a directory (os error 21)
              next: give a readable file: --settings FILE
        "#]],
    );
}

#[tokio::test]
async fn each_value_is_shown_with_its_source() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("settings.toml"), "grace = \"1s\"\n[retry]\nattempts = 7\nbusy = \"1h\"\n").unwrap();
    let mut show = command(folder.path(), &["settings", "show", "--grace", "3s", "--set", "broker.cache=1GiB", "--json"]);
    let output = show.env("WEIR_RETRY_BUSY", "2h").env("WEIR_LOG_FROMAT", "json").output().unwrap();
    assert!(output.status.success(), "{}", said(&output, folder.path()));
    expect![[r#"
        the environment has WEIR_LOG_FROMAT, which is not a setting; did you mean WEIR_LOG_FORMAT?
    "#]]
    .assert_eq(&said(&output, folder.path()));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |name: &str| {
        let setting = shown["settings"].as_array().unwrap().iter().find(|setting| setting["name"] == name).unwrap();
        (setting["value"].clone(), setting["from"]["source"].clone())
    };
    assert_eq!(of("grace"), (json!("3s"), json!("flag")));
    assert_eq!(of("retry.attempts"), (json!(7), json!("file")));
    assert_eq!(of("retry.busy"), (json!("2h"), json!("environment")));
    assert_eq!(of("broker.cache"), (json!("1GiB"), json!("flag")));
    assert_eq!(of("listen"), (json!("127.0.0.1:8088"), json!("default")));
    let secret = "abcdefghijklmnopqrstuvwxyz";
    let output = command(folder.path(), &["settings", "show"]).env("WEIR_TOKEN", secret).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("the gateway requires the token from WEIR_TOKEN (not shown)\n") && !text.contains(secret), "{text}");
    assert!(text.lines().any(|line| line.starts_with("retry.attempts ") && line.ends_with(" file, line 3")), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[tokio::test]
async fn init_writes_a_documented_file_and_never_overwrites_it() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let output = run(&data, &["init"]).await;
    assert!(output.status.success(), "{}", said(&output, temp.path()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&data).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let text = fs::read_to_string(data.join("settings.toml")).unwrap();
    assert!(text.contains("\n# grace = \"10s\"\n") && text.contains("\n[broker]\n"), "{text}");
    fs::write(data.join("settings.toml"), "grace = \"2s\"\n").unwrap();
    check(
        &run(&data, &["init"]).await,
        temp.path(),
        1,
        &expect![[r#"
            error: DIR/data/settings.toml already exists and was not changed
              next: edit it, or move it away and run this again; weir settings show --data DIR/data lists the effective values
        "#]],
    );
    assert_eq!(fs::read_to_string(data.join("settings.toml")).unwrap(), "grace = \"2s\"\n");
}

#[tokio::test]
async fn settings_take_effect() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        "[gateway]\nmax-body = \"6MiB\"\n[component]\nsends = 7\ntime = \"5s\"\n[retry]\nattempts = 2\n[broker]\nmax-message = \"5MiB\"\n";
    fs::write(folder.path().join("settings.toml"), file).unwrap();
    let weir = Weir::up(folder.path()).await;
    let echo = guest_path("echo");
    let deployed = weir.must(&["deploy", "a@1.0.0", echo.to_str().unwrap(), "--limit", "time-ms=9", "--json"]).await;
    let record = &serde_json::from_str::<Value>(&deployed).unwrap()["record"];
    assert_eq!((&record["limits"], &record["retry"]), (&serde_json::json!({"time-ms": 9}), &serde_json::json!({})), "only what was given");
    let shown: Value = serde_json::from_str(&weir.must(&["components", "show", "a@1.0.0", "--json"]).await).unwrap();
    let holds =
        |section: &str, name: &str| format!("{} of {}", shown[section][name]["value"], shown[section][name]["from"].as_str().unwrap());
    assert_eq!(holds("limits", "sends-count"), "7 of settings", "set");
    assert_eq!(holds("limits", "time-ms"), "9 of deployment");
    assert_eq!(holds("limits", "memory-bytes"), format!("{} of settings", 64 << 20), "by default");
    assert_eq!(holds("retry", "attempts-count"), "2 of settings");
    super::start_echo(&weir, "b", "one").await;
    let message = folder.path().join("message.json");
    let send = async |mib: usize| {
        fs::write(&message, format!("{{\"text\": \"{}\"}}", "x".repeat((mib << 20) - 100))).unwrap();
        weir.run(&["send", "one", "in", message.to_str().unwrap()]).await
    };
    assert!(send(5).await.status.success(), "above the default and below what is set");
    let above = send(6).await;
    assert_eq!(above.status.code(), Some(65), "{above:?}");
    assert!(said(&above, folder.path()).contains("the limit is 5242880"), "{above:?}");
    let above = send(7).await;
    assert!(said(&above, folder.path()).contains("6291456"), "the gateway's own bound: {above:?}");
}

/// The table of settings in the guide.
#[tokio::test]
async fn the_guide_documents_every_setting_correctly() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["settings", "show", "--json"]).await;
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| text.replace('|', "\\|"));
    let row = |setting: &Value| {
        let flag = setting["flag"].as_str().map(|flag| format!(", `{flag}`")).unwrap_or_default();
        format!(
            "| `{}` | `{}` | {} | {}; {} | `{}`{flag} |\n",
            cell(&setting["name"]),
            cell(&setting["default"]),
            cell(&setting["what"]),
            cell(&setting["allowed"]),
            cell(&setting["why"]),
            cell(&setting["variable"])
        )
    };
    let rows: String = shown["settings"].as_array().unwrap().iter().map(row).collect();
    let table = format!("| setting | default | what | allowed, and why this default | also |\n|---|---|---|---|---|\n{rows}");
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md")).unwrap();
    assert!(guide.contains(&table), "docs/operating.md must have this table:\n{table}");
}
