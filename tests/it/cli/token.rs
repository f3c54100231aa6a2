//! The gateway's token, as `weir up` accepts it and the other commands send it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use weir_tests::weir::{Weir, run};

use super::{check, said};

const TOKEN: &str = "the-token-of-this-weir";

#[tokio::test]
async fn commands_on_the_data_folder_find_the_token_there() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("token"));
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let weir = Weir::up_with(&data, &["--token-file", file.to_str().unwrap()]).await;
    weir.must(&["config", "put", "prompt", "greeting", "1"]).await;
    assert_eq!(weir.must(&["config", "get", "prompt", "greeting"]).await, "1\n");
    let kept = data.join("gateway.token");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);

    // An address given explicitly does not get the token of this folder.
    let away = ["status", "--gateway", weir.url()];
    let refused = weir.run(&away).await;
    assert_eq!(refused.status.code(), Some(77));
    expect![[r#"
        error: Weir at URL requires a token; none was given
          next: set WEIR_TOKEN to the token that its `weir up` was started with, or give its data folder, which stores it: --data DIR
    "#]]
    .assert_eq(&said(&refused, folder.path()).replace(weir.url(), "URL"));
    let refused = weir.command(&away).env("WEIR_TOKEN", "the-token-of-another-weir").output().unwrap();
    assert_eq!(refused.status.code(), Some(77));
    expect![[r#"
        error: Weir at URL rejects the token of WEIR_TOKEN
          next: set WEIR_TOKEN to the token that its `weir up` was started with, or give its data folder, which stores it: --data DIR
    "#]]
    .assert_eq(&said(&refused, folder.path()).replace(weir.url(), "URL"));
    let told = weir.command(&away).env("WEIR_TOKEN", TOKEN).output().unwrap();
    assert!(told.status.success(), "{}", said(&told, folder.path()));

    let printed = weir.said();
    assert!(printed.contains("requires a token from ") && !printed.contains(TOKEN), "{printed}");
    assert!(weir.end().await.success());
    assert!(!kept.exists());
}

#[tokio::test]
async fn the_token_comes_from_the_environment_and_a_restart_without_one_forgets_it() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_TOKEN", TOKEN), ("WEIR_LOG", "debug")]).await;
    assert_eq!(weir.http().get(weir.path("/metrics")).send().await.unwrap().status(), 401);
    assert_eq!(weir.http().get(weir.path("/metrics")).bearer_auth(TOKEN).send().await.unwrap().status(), 200);
    weir.must(&["status"]).await;
    assert!(!weir.said().contains(TOKEN));
    weir.kill();
    let weir = Weir::up(folder.path()).await;
    assert!(!folder.path().join("gateway.token").exists());
    assert_eq!(weir.http().get(weir.path("/metrics")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_invalid_token_is_reported_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("token"));
    let up = ["up", "--listen", "127.0.0.1:0", "--token-file", file.to_str().unwrap()];
    check(
        &run(&data, &up).await,
        folder.path(),
        66,
        &expect![[r#"
            error: the token file DIR/token cannot be read
              because: No such file or directory (os error 2)
        "#]],
    );
    fs::write(&file, "short\n").unwrap();
    check(
        &run(&data, &up).await,
        folder.path(),
        64,
        &expect![[r#"
            error: the token file DIR/token cannot be used
              because: line 1: a token must have 16 to 1024 characters, this one has 5; generate one with `openssl rand -hex 32`
        "#]],
    );
    assert!(!data.exists());
}
