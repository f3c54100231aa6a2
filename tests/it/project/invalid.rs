//! Projects that are invalid before anything is built.

use weir_tests::guest_path;

use super::project_fixture::ProjectFixture;
use crate::guests;

#[test]
fn an_invalid_manifest_is_refused_with_line_key_and_fix() {
    let workspace = ProjectFixture::new();
    workspace.new_project("python", "wrong-manifest");
    let manifest = workspace.read("wrong-manifest/weir.toml");
    let check = |from: &str, to: &str, words: &[&str]| {
        workspace.write("wrong-manifest/weir.toml", manifest.replace(from, to));
        workspace.weir(&["build", "wrong-manifest"]).fails(65, words);
    };
    check("version =", "verison =", &["weir.toml:4: unknown key `verison`: did you mean `version`?"]);
    check("consumers = ", "consumer = ", &["unknown key `consumer`: did you mean `consumers`?"]);
    check("\"python\"", "\"pyton\"", &["weir.toml:2:", "did you mean `python`?"]);
    check(
        "type = \"integer\"\ndefault = 1",
        "type = \"integer\"\ndefault = \"one\"",
        &["parameters.shortest.default", "is not a whole number"],
    );
    check("language = \"python\"\n", "", &["the key `language` is missing"]);
}

#[test]
fn a_folder_that_is_not_a_project_is_refused_with_the_next_step() {
    let workspace = ProjectFixture::new();
    workspace.write("empty/a.txt", "");
    workspace.weir(&["build", "empty"]).fails(66, &["empty has no weir.toml", "weir new --lang rust NAME"]);
    workspace.weir(&["test", "empty"]).fails(66, &["empty has no weir.toml"]);
    let component = guest_path(guests::ECHO);
    workspace
        .weir(&["test", "empty", "--component", component.to_str().unwrap()])
        .fails(66, &["empty/tests has no fixtures", "weir test --update"]);
}

#[test]
fn nothing_is_overwritten() {
    let workspace = ProjectFixture::new();
    workspace.new_project("ts", "here");
    workspace.weir(&["new", "--lang", "js", "here"]).fails(1, &["here/weir.toml already exists", "choose another name"]);
    workspace.write("there/file", "");
    workspace.weir(&["new", "--lang", "js", "there"]).fails(1, &["there already exists"]);
    workspace.weir(&["new", "--lang", "js", "Here"]).fails(64, &["`Here` is not a valid component name"]);
    workspace.weir(&["new", "--lang", "jss", "other"]).fails(64, &["unknown language `jss`: did you mean `js`?", "rust, python, js, ts"]);
}

#[test]
fn a_fixture_is_chosen_by_its_name() {
    let workspace = ProjectFixture::new();
    workspace
        .write("guest/tests/one.json", r#"{"messages": [{"message": {"json": 1}, "expected": {"outputs": {"output": [{"json": 1}]}}}]}"#);
    workspace.write("guest/tests/two.json", "{}");
    let component = guest_path(guests::ECHO);
    let of = |name: &str| ["test", "guest", "--component", component.to_str().unwrap(), "--fixture", name].map(str::to_owned);
    let run = |name: &str| workspace.weir(&of(name).each_ref().map(String::as_str));
    assert_eq!(run("one").code, Some(0));
    assert_eq!(run("two").code, Some(1));
    run("three").fails(66, &["no fixture's name contains three", "available: one.json, two.json"]);
}
