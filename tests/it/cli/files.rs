//! Files that cannot be deployed, each with the problem found and the fix.

use std::fs;

use expect_test::{Expect, expect};
use weir_tests::guest;
use weir_tests::weir::Weir;

use super::check;

#[tokio::test]
async fn files_that_are_not_weir_components_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let refused = async |name: &str, bytes: &[u8], expected: &Expect| {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        check(&weir.run(&["deploy", "a@1.0.0", file.to_str().unwrap()]).await, folder.path(), 65, expected);
    };
    refused("text.wasm", b"hello", &expect![[r#"
        error: DIR/text.wasm was not deployed
          because: the file cannot be deployed: the file is not WebAssembly (it has 5 bytes and begins with "hell"): use the .wasm file that the build produced
    "#]]).await;
    refused("empty.wasm", b"", &expect![[r#"
        error: DIR/empty.wasm was not deployed
          because: the file cannot be deployed: the file is not WebAssembly (it has 0 bytes and begins with nothing): use the .wasm file that the build produced
    "#]]).await;
    refused("module.wasm", b"\0asm\x01\0\0\0", &expect![[r#"
        error: DIR/module.wasm was not deployed
          because: the file cannot be deployed: the file is a core WebAssembly module, not a component: build it for wasm32-wasip2, or convert it with `wasm-tools component new`
    "#]]).await;
    refused("foreign.wasm", b"\0asm\x0d\0\x01\0", &expect![[r#"
        error: DIR/foreign.wasm was not deployed
          because: the file cannot be deployed: the component does not export `weir:processor/handler` (its exports: none): write it with an SDK of Weir, or against the world of wit/processor.wit
    "#]]).await;
    let echo = guest("echo");
    refused(
        "truncated.wasm",
        &echo[..echo.len() / 2],
        &expect![[r#"
        error: DIR/truncated.wasm was not deployed
          because: the file cannot be deployed: the file is truncated at byte 21988: copy or build it again
    "#]],
    )
    .await;
    refused("later.wasm", &replaced(&echo, b"@0.1.0", b"@9.1.0"), &expect![[r#"
        error: DIR/later.wasm was not deployed
          because: the file cannot be deployed: the component was built against weir:processor 9.1.0; this host serves 0.1.x: build it against an older contract, or update the host
    "#]]).await;
    assert_eq!(weir.must(&["flow", "list"]).await, "no flows; start one: weir flow start BLUEPRINT FLOW\n");
}

#[tokio::test]
async fn a_version_already_used_by_another_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let put = async |bytes: &[u8], arguments: &[&str]| {
        let file = folder.path().join("file.wasm");
        fs::write(&file, bytes).unwrap();
        let mut all = arguments.to_vec();
        all.push(file.to_str().unwrap());
        weir.run(&all).await
    };
    let echo = guest("echo");
    assert!(put(&echo, &["deploy"]).await.status.success());
    assert!(put(&echo, &["deploy", "echo"]).await.status.success(), "the same file again is no error");
    let taken = put(&guest("reject"), &["deploy", "echo@1.0.0"]).await;
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&taken.stderr).starts_with("error: echo@1.0.0 is already used by another file"), "{taken:?}");
    check(
        &put(&echo, &["deploy", "Echo@1.0.0"]).await,
        folder.path(),
        65,
        &expect![[r#"
        error: DIR/file.wasm was not deployed
          because: name: `Echo` must be lower-case words joined by `-`
    "#]],
    );
    check(
        &put(&echo, &["deploy", "echo@one"]).await,
        folder.path(),
        65,
        &expect![[r#"
        error: DIR/file.wasm was not deployed
          because: version: `one` is not a semantic version such as 1.2.0 (unexpected character 'o' while parsing major version number)
    "#]],
    );
    check(
        &put(&echo, &["deploy", "echo@"]).await,
        folder.path(),
        64,
        &expect![[r#"
        error: `echo@` does not have the form NAME@VERSION or NAME
          next: weir deploy NAME@VERSION FILE.wasm, weir deploy NAME FILE.wasm, or weir deploy FILE.wasm
    "#]],
    );
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = bytes.windows(old.len()).enumerate().filter(|(_, window)| *window == old).map(|(at, _)| at).collect();
    places.into_iter().for_each(|at| bytes[at..at + new.len()].copy_from_slice(new));
    bytes
}
