//! `weir inspect`: what it reports of valid and of invalid files, without a running Weir.

use expect_test::{Expect, expect};
use serde_json::Value;
use weir_tests::weir::run;
use weir_tests::{guest, guest_path};

use super::check;
use crate::guests;

#[tokio::test]
async fn a_component_is_described_without_running_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = guest_path(guests::WHOLE_0_1_0);
    let output = run(folder.path(), &["inspect", path.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // What the compiler adds depends on its version.
    let ours = text.lines().filter(|line| !["wasi", "terminal", "file "].iter().any(|word| line.contains(word)));
    let ours = ours.map(|line| line.replace(path.to_str().unwrap(), "FILE") + "\n").collect::<String>();
    expect![[r#"
        whole-0-1-0@1.0.0
        Calls every function of weir:processor 0.1.0

        consumes    input
                    request, requests, answered on response
        produces    output
                    response
        requests    service (topics service-request and service-response), within 60,000 ms
        config      settings
        permission  none
                    weir:processor 0.1.0: config, context, log, messaging
        built for   weir:processor 0.1.0, with setup
        limits      64.0 MiB of memory, 60 s per message
                    1,000 sends of 16.0 MiB in total per message
                    1.0 MiB of log per minute; override limits with `weir deploy --limit`

        PARAMETERS
        size        string, optional

        This Weir can run it: weir deploy FILE
    "#]]
    .assert_eq(&ours);
    assert!(text.lines().all(|line| line.chars().count() <= 100 || line.contains("weir deploy")), "{text}");

    let output = run(folder.path(), &["inspect", "--json", path.to_str().unwrap()]).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["world"], &told["exports"][0]), (&"0.1.0".into(), &"setup".into()));
    assert_eq!(told["digest"], weir_runtime::digest_of(&guest(guests::WHOLE_0_1_0)).to_string());
    assert!(told["imports"].as_array().unwrap().contains(&"weir:processor/messaging@0.1.0".into()), "{told}");
    assert_eq!((&told["unserved"], &told["descriptor"]["requests"][0]["name"]), (&serde_json::json!([]), &"service".into()));
    assert_eq!(told["limits"]["time-ms"], 60_000);
}

#[tokio::test]
async fn unsupported_requirements_are_reported_as_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = guest_path(guests::NEEDS_0_1_1);
    let output = run(folder.path(), &["inspect", path.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(65));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["missing     `traceparent` of `weir:processor/context@0.1.1`", "            `weir:processor/metrics@0.1.1`"] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    assert!(!text.contains("can run it"), "{text}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("it serves weir:processor 0.1.0"));
}

#[tokio::test]
async fn a_faulty_file_is_reported_with_its_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.wasm");
    let refused = async |bytes: &[u8], expected: &Expect| {
        std::fs::write(&file, bytes).unwrap();
        check(&run(folder.path(), &["inspect", file.to_str().unwrap()]).await, folder.path(), 65, expected);
    };
    let echo = guest(guests::ECHO);
    refused(
        b"PK\x03\x04",
        &expect![[r#"
        error: DIR/file.wasm is not a component that this Weir can run
          because: the file is not WebAssembly (it has 4 bytes and begins with "PK\x03\x04"): use the .wasm file that the build produced
    "#]],
    )
    .await;
    refused(
        &echo[..echo.len() / 2],
        &expect![[r#"
        error: DIR/file.wasm is not a component that this Weir can run
          because: the file is truncated at byte 21988: copy or build it again
    "#]],
    )
    .await;
    refused(b"\0asm\x01\0\0\0", &expect![[r#"
        error: DIR/file.wasm is not a component that this Weir can run
          because: the file is a core WebAssembly module, not a component: build it for wasm32-wasip2, or convert it with `wasm-tools component new`
    "#]]).await;
    refused(&guest(guests::BUILT_FOR_0_2_0), &expect![[r#"
        error: DIR/file.wasm is not a component that this Weir can run
          because: the component was built against weir:processor 0.2.0; this host serves 0.1.x: build it against an older contract, or update the host
    "#]]).await;
    refused(
        &crate::host_fixture::stamped(&echo, b"not JSON"),
        &expect![[r#"
        error: DIR/file.wasm is not a component that this Weir can run
          because: the section `weir:descriptor` of the component is unusable
          because: the descriptor does not match the schema weir:descriptor/1
          because: expected ident at line 1 column 2
    "#]],
    )
    .await;
    refused(
        &crate::host_fixture::stamped(&echo, &[b' '; 1 << 20]),
        &expect![[r#"
        error: DIR/file.wasm is not a component that this Weir can run
          because: the section `weir:descriptor` of the component is unusable
          because: the descriptor has 1048576 bytes; the limit is 65536
    "#]],
    )
    .await;
    let missing = run(folder.path(), &["inspect", "no-such-file.wasm"]).await;
    check(
        &missing,
        folder.path(),
        66,
        &expect![[r#"
            error: no-such-file.wasm cannot be read
              because: No such file or directory (os error 2)
              next: check the path; it is relative to the current directory
        "#]],
    );
}
