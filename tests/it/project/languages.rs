//! New projects in the languages whose tools come from registries: they build and pass their tests immediately, and their authors get clear
//! errors. The registries' clients cache what they fetched.

use std::fs;

use serde_json::json;
use weir_runtime::inspect;

use super::project_fixture::ProjectFixture;
use super::toolchains::{must, npm, sdk_js};

/// Creates, builds and tests a project; breaks its source, and checks what the author sees; then makes it misbehave, message by message.
fn builds_and_passes(language: &str, source: &str, from: &str, to: &str, words: &[&str]) -> (ProjectFixture, String) {
    let workspace = ProjectFixture::new();
    let name = format!("count-{language}");
    workspace.new_project(language, &name);
    workspace.must(&["build", &name]);
    let file = workspace.path(&name).join(format!("{name}.wasm"));
    let inspected = inspect(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((inspected.descriptor.name.as_deref(), &inspected.faults), (Some(name.as_str()), &Vec::new()));
    let tested = workspace.must(&["test", &name]);
    assert!(tested.contains("1 fixture passed"), "{tested}");
    if workspace.path(&name).join("package.json").is_file() {
        must(npm(&workspace.path(&name)).arg("test"));
    }

    let path = format!("{name}/{source}");
    let text = workspace.read(&path);
    assert!(text.contains(from), "{text}");
    workspace.write(&path, text.replace(from, to));
    workspace.weir(&["build", &name]).fails(1, words);
    workspace.passes_faults(&name, language, source);
    (workspace, name)
}

#[test]
fn a_new_python_project_builds_and_passes_its_tests() {
    builds_and_passes(
        "python",
        "processor.py",
        "import weir\n",
        "import weir\nimport no_such_module\n",
        &["processor.py", "no_such_module"],
    );
}

#[test]
fn a_new_javascript_project_builds_and_passes_its_tests() {
    sdk_js();
    let (workspace, name) = builds_and_passes("js", "src/processor.js", "return {", "return {{", &["src/processor.js:"]);
    passes_large_texts(&workspace, &name);
}

/// Sends texts of all sizes, in characters of one, two, three and four bytes, through one instance under the limit of the template.
fn passes_large_texts(workspace: &ProjectFixture, project: &str) {
    let mut messages = Vec::new();
    for text in ["Some plain words. ", "Some \u{201c}quoted\u{201d} words. ", "\u{e4}\u{f6}\u{fc}", "\u{5b57}", "\u{1f600}"] {
        for bytes in [1 << 10, 1 << 20, 5 << 19, (4 << 20) - 64] {
            let file = format!("data/{}.json", messages.len());
            let body = json!({"do": "echo", "text": text.repeat(bytes / text.len())}).to_string();
            workspace.write(&format!("{project}/tests/{file}"), body);
            let expected = json!({"outputs": {"output": [{"file": file}]}});
            messages.push(json!({"message": {"file": file, "content-type": "application/json"}, "expected": expected}));
        }
    }
    workspace.write(&format!("{project}/tests/example.json"), json!({"messages": messages}).to_string());
    workspace.must(&["test", project]);
}

#[test]
fn a_new_typescript_project_builds_and_passes_its_tests() {
    sdk_js();
    builds_and_passes("ts", "src/processor.ts", "return {", "return {{", &["src/processor.ts:"]);
}
