//! Permissions of other users on the data folder and the token file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use weir_tests::weir::{Weir, run};

use super::said;

const TOKEN: &str = "the-token-of-this-weir";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Grade and text of one check of `weir doctor`.
async fn found(data: &Path, check: &str, flags: &[&str]) -> (String, String) {
    let output = run(data, &[&["doctor", "--json", "--listen", "127.0.0.1:0"], flags].concat()).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let finding = answer["checks"].as_array().unwrap().iter().find(|it| it["check"] == check).unwrap();
    (finding["grade"].as_str().unwrap().to_owned(), finding["what"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_world_writable_data_folder_is_refused_unless_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    for mode in [0o777, 0o1777, 0o702] {
        set_mode(&data, mode);
        let refused = run(&data, &["up", "--listen", "127.0.0.1:0"]).await;
        let said = said(&refused, folder.path());
        assert_eq!(refused.status.code(), Some(73), "{said}");
        assert!(said.contains("can be written by all users of this machine") && said.contains("chmod 700"), "{said}");
        assert!(said.contains("--shared-data-folder allow"), "{said}");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "nothing was made in it");
        let (grade, what) = found(&data, "data folder", &[]).await;
        assert!(grade == "fail" && what.contains("can be written by all users"), "{what}");
    }
    let allowed = ["--shared-data-folder", "allow"];
    assert_eq!(found(&data, "data folder", &allowed).await.0, "warn");
    let weir = Weir::up_with(&data, &allowed).await;
    assert!(weir.said().contains("can be written by all users of this machine"), "{}", weir.said());
    assert!(weir.end().await.success());
    let weir = Weir::up_in(&data, &[], &[("WEIR_SHARED_DATA_FOLDER", "allow")]).await;
    assert!(weir.end().await.success());
}

#[tokio::test]
async fn a_group_writable_data_folder_is_reported_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o770);
    let weir = Weir::up(folder.path()).await;
    assert!(weir.said().contains("can be written by the users of its group (mode 770)"), "{}", weir.said());
    assert!(weir.end().await.success());
    assert_eq!(found(folder.path(), "data folder", &[]).await.0, "warn");
    set_mode(folder.path(), 0o700);
    let weir = Weir::up(folder.path()).await;
    assert_eq!(weir.said().matches("can be written by").count(), 2, "once in the log and once in what is printed, before: {}", weir.said());
}

#[tokio::test]
async fn a_readable_token_file_is_reported_at_the_start_and_by_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("token"));
    fs::write(&file, TOKEN).unwrap();
    let flags = ["--token-file", file.to_str().unwrap()];
    for (mode, who) in [(0o644, "all users of this machine"), (0o640, "the users of its group")] {
        set_mode(&file, mode);
        let weir = Weir::up_with(&data, &flags).await;
        let told = format!("can be read by {who} (mode {mode:o}): chmod 600");
        assert!(weir.said().contains(&told) && !weir.said().contains(TOKEN), "{}", weir.said());
        assert!(weir.end().await.success());
        let (grade, what) = found(&data, "token file", &flags).await;
        assert!(grade == "warn" && what.contains(who), "{what}");
    }
    set_mode(&file, 0o600);
    assert_eq!(found(&data, "token file", &flags).await.0, "ok");
    fs::write(&file, " \n").unwrap();
    assert_eq!(found(&data, "token file", &flags).await.0, "fail");
}

#[tokio::test]
async fn an_empty_token_is_an_error_from_any_source() {
    let folder = tempfile::tempdir().unwrap();
    let (data, empty) = (folder.path().join("data"), folder.path().join("empty"));
    fs::write(folder.path().join("settings.toml"), "[gateway]\ntoken-file = \"\"\n").unwrap();
    let settings = folder.path().join("settings.toml");
    let tried = async |arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["up", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut command = weir_tests::weir::command(&data, &arguments);
        let output = tokio::task::spawn_blocking({
            command.envs(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            move || command.output().unwrap()
        });
        let output = weir_tests::wait::within("weir up to end", output).await.unwrap();
        assert!(matches!(output.status.code(), Some(64 | 78)), "{arguments:?} {environment:?}: {output:?}");
        assert!(!data.exists(), "{arguments:?} {environment:?}");
    };
    tried(&["--token-file", ""], &[]).await;
    tried(&["--token-file", " "], &[]).await;
    tried(&["--set", "gateway.token-file="], &[]).await;
    tried(&["--settings", settings.to_str().unwrap()], &[]).await;
    for empty in ["", " "] {
        tried(&[], &[("WEIR_GATEWAY_TOKEN_FILE", empty)]).await;
        tried(&[], &[("WEIR_TOKEN", empty)]).await;
    }
    for text in ["", "\n", " \t\n \n"] {
        fs::write(&empty, text).unwrap();
        tried(&["--token-file", empty.to_str().unwrap()], &[]).await;
        tried(&[], &[("WEIR_GATEWAY_TOKEN_FILE", empty.to_str().unwrap())]).await;
    }
}
