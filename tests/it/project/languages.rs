//! New projects in the languages whose tools come from registries: they build and pass their tests at once, and their authors read what is
//! wrong. The registries' clients keep what they fetched in their own caches.

use std::fs;

use weir_runtime::inspect;

use super::bed::Bed;
use super::toolchains::sdk_js;

/// Makes, builds and tests a project; breaks its source, and checks what the author sees; then has it do what it should not, message by
/// message.
fn builds_and_passes(language: &str, source: &str, from: &str, to: &str, words: &[&str]) {
    let bed = Bed::new();
    let name = format!("count-{language}");
    bed.new_project(language, &name);
    bed.must(&["build", &name]);
    let file = bed.path(&name).join(format!("{name}.wasm"));
    let inspected = inspect(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((inspected.descriptor.name.as_deref(), &inspected.faults), (Some(name.as_str()), &Vec::new()));
    let tested = bed.must(&["test", &name]);
    assert!(tested.contains("1 fixture passed"), "{tested}");

    let path = format!("{name}/{source}");
    let text = bed.read(&path);
    assert!(text.contains(from), "{text}");
    bed.write(&path, text.replace(from, to));
    bed.weir(&["build", &name]).fails(1, words);
    bed.passes_faults(&name, language, source);
}

#[test]
fn a_new_project_in_python_builds_and_passes_its_tests_at_once() {
    builds_and_passes(
        "python",
        "processor.py",
        "import weir\n",
        "import weir\nimport no_such_module\n",
        &["processor.py", "no_such_module"],
    );
}

#[test]
fn a_new_project_in_javascript_builds_and_passes_its_tests_at_once() {
    sdk_js();
    builds_and_passes("js", "src/processor.js", "return {", "return {{", &["src/processor.js:"]);
}

#[test]
fn a_new_project_in_typescript_builds_and_passes_its_tests_at_once() {
    sdk_js();
    builds_and_passes("ts", "src/processor.ts", "return {", "return {{", &["src/processor.ts:"]);
}
