//! The test suites of the SDKs, the examples and the plugins in other languages, run by the tools of their languages.

use std::path::Path;
use std::process::Command;

use super::components::component;
use super::project_fixture::repository;
use super::toolchains::{must, npm, python, sdk_js};

/// Runs pytest in a folder, with the SDK of this checkout.
fn pytest(folder: &str) {
    let mut pytest = Command::new(python());
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).current_dir(repository().join(folder));
    pytest.env("PYTHONPATH", repository().join("sdk/python/src")).env("PYTHONDONTWRITEBYTECODE", "1").env("NO_COLOR", "1");
    let printed = must(&mut pytest);
    let last = printed.trim_end().lines().last().unwrap_or_default();
    assert!(last.contains(" passed") && !last.contains("skipped"), "{folder}: {printed}");
}

/// Runs the test script of a package whose dependencies are installed.
fn npm_test(folder: &Path) {
    let printed = must(npm(folder).arg("test").env("NODE_OPTIONS", "--test-reporter=tap"));
    for line in ["# fail 0", "# skipped 0", "# todo 0"] {
        assert!(printed.lines().any(|printed| printed == line), "without `{line}`: {printed}");
    }
    assert!(!printed.contains("\n# pass 0\n"), "{printed}");
}

#[test]
fn the_tests_of_the_sdk_for_python_pass() {
    pytest("sdk/python");
}

#[test]
fn the_tests_of_the_example_in_python_pass() {
    pytest("sdk/python/examples/splitter");
}

#[test]
fn the_tests_of_html_to_text_pass() {
    pytest("plugins/html-to-text");
}

#[test]
fn the_tests_of_the_sdk_for_javascript_pass() {
    npm_test(&sdk_js());
}

#[test]
fn the_tests_of_the_examples_in_javascript_and_typescript_pass() {
    let examples = sdk_js().join("examples");
    // This installs the packages of the example.
    component("sdk/js/examples/splitter");
    npm_test(&examples.join("splitter"));
    component("sdk/js/examples/typed-splitter");
    must(npm(&examples.join("typed-splitter")).arg("test"));
}

#[test]
fn the_fixtures_of_the_parity_project_in_javascript_pass_in_the_test_kit() {
    component("sdk/js/test/parity");
    npm_test(&repository().join("sdk/js/test/parity"));
}

#[test]
fn the_tests_of_json_transform_pass() {
    component("plugins/json-transform");
    npm_test(&repository().join("plugins/json-transform"));
}
