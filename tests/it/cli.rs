//! The command line, with the real binary: complete sequences, and what it reports if something is wrong.
#![allow(clippy::unwrap_used, reason = "a failed expectation fails the test that caused it")]

mod config;
mod dead_letters;
mod dead_letters_faults;
mod doctor;
mod end_to_end;
mod files;
mod follow;
mod inputs;
mod inspect;
mod large_configuration;
mod log;
mod log_faults;
mod pauses;
mod privacy;
mod prune;
mod readers;
mod refusals;
mod request;
mod roles;
mod rules;
mod settings;
mod shell;
mod show;
mod space;
mod spinning;
mod status;
mod swap;
mod take;
mod take_faults;
mod tls;
mod token;
mod unfit;
mod unowned;
mod up;
mod versions;

use std::path::Path;
use std::process::Output;

use weir_tests::guest_path;
use weir_tests::weir::Weir;

/// The standard error of a command, with the folder's name removed.
fn said(output: &Output, folder: &Path) -> String {
    String::from_utf8_lossy(&output.stderr).replace(&folder.display().to_string(), "DIR")
}

/// Checks the exit code and standard error.
fn check(output: &Output, folder: &Path, exit: i32, expected: &expect_test::Expect) {
    let text = said(output, folder);
    assert_eq!(output.status.code(), Some(exit), "{text}{}", String::from_utf8_lossy(&output.stdout));
    expected.assert_eq(&text);
}

/// A blueprint with one processor between `in` and `out`.
pub(crate) fn blueprint(processor: &str, parameters: &serde_json::Value) -> serde_json::Value {
    let given: serde_json::Map<_, _> =
        parameters.as_object().unwrap().keys().map(|name| (name.clone(), format!("{{{name}}}").into())).collect();
    serde_json::json!({
        "blueprint": {},
        "flow": {format!("{processor}:{{id}}"): {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}, "parameters": given}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
        "parameters": parameters,
    })
}

/// Deploys echo and starts a flow of a blueprint with it between `in` and `out`.
pub(crate) async fn start_echo(weir: &Weir, name: &str, flow: &str) {
    weir.must(&["deploy", guest_path("echo").to_str().unwrap()]).await;
    let file = weir.data().join("blueprint.json");
    std::fs::write(&file, blueprint("echo", &serde_json::json!({})).to_string()).unwrap();
    weir.must(&["blueprint", "put", name, file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", name, flow]).await;
}
