//! A project in Rust, from scratch to a tested component.

use std::fs;

use weir_runtime::inspect;

use super::project_fixture::ProjectFixture;

#[test]
fn a_new_rust_project_builds_reproducibly_and_passes_its_tests() {
    let workspace = ProjectFixture::new();
    workspace.new_project("rust", "count-rust");
    let built = workspace.must(&["build", "count-rust"]);
    assert!(built.contains("count-rust@0.1.0 built in"), "{built}");
    let bytes = fs::read(workspace.path("count-rust/count-rust.wasm")).unwrap();
    let inspected = inspect(&bytes).unwrap();
    let descriptor = &inspected.descriptor;
    assert_eq!((descriptor.name.as_deref(), descriptor.consumers[0].name.as_str()), (Some("count-rust"), "input"));
    assert_eq!(descriptor.parameters[0].default.as_deref(), Some("1"));
    let tested = workspace.must(&["test", "count-rust"]);
    assert!(tested.contains("1 fixture passed"), "{tested}");

    // In another folder.
    let copy = ProjectFixture::new();
    copy.new_project("rust", "count-rust");
    copy.must(&["build", "count-rust", "--output", "other.wasm"]);
    assert!(fs::read(copy.path("other.wasm")).unwrap() == bytes, "the same sources gave other bytes");
}

#[test]
fn a_compile_error_is_shown_with_its_line_and_keeps_the_old_component() {
    let workspace = ProjectFixture::new();
    workspace.new_project("rust", "faulty-rust");
    workspace.write("faulty-rust/faulty-rust.wasm", "what was there");
    let source = workspace.read("faulty-rust/src/lib.rs").replace("Ok(Json(Count", "Ok(Jsn(Count");
    workspace.write("faulty-rust/src/lib.rs", source);
    workspace
        .weir(&["build", "faulty-rust"])
        .fails(1, &["src/lib.rs:", "Jsn", "error: cargo build --release --target wasm32-wasip2 failed"]);
    assert_eq!(workspace.read("faulty-rust/faulty-rust.wasm"), "what was there");
}

#[test]
fn a_crate_that_builds_no_component_is_refused_with_the_fix() {
    let workspace = ProjectFixture::new();
    workspace.new_project("rust", "library-rust");
    let manifest = workspace.read("library-rust/Cargo.toml").replace("crate-type = [\"cdylib\"]", "");
    workspace.write("library-rust/Cargo.toml", manifest);
    workspace.weir(&["build", "library-rust"]).fails(65, &["the crate did not produce a component", "crate-type = [\"cdylib\"]"]);
}

#[test]
fn a_misbehaving_processor_is_explained_to_its_author() {
    let workspace = ProjectFixture::new();
    workspace.new_project("rust", "faults-rust");
    workspace.passes_faults("faults-rust", "rust", "src/lib.rs");
}

#[test]
fn a_crate_without_a_handler_is_refused_with_the_fix() {
    let workspace = ProjectFixture::new();
    workspace.new_project("rust", "idle-rust");
    workspace.write("idle-rust/src/lib.rs", "pub fn count() {}\n");
    workspace
        .weir(&["build", "idle-rust"])
        .fails(65, &["does not export `weir:processor/handler`", "weir::processor!(HANDLER, manifest = \"weir.toml\")"]);
}
