//! A project in Rust, from nothing to a tested component.

use std::fs;

use weir_runtime::inspect;

use super::bed::Bed;

#[test]
fn a_new_project_builds_and_passes_its_tests_at_once_and_the_same_sources_give_the_same_bytes() {
    let bed = Bed::new();
    bed.new_project("rust", "count-rust");
    let built = bed.must(&["build", "count-rust"]);
    assert!(built.contains("count-rust@0.1.0 built in"), "{built}");
    let bytes = fs::read(bed.path("count-rust/count-rust.wasm")).unwrap();
    let inspected = inspect(&bytes).unwrap();
    let descriptor = &inspected.descriptor;
    assert_eq!((descriptor.name.as_deref(), descriptor.consumers[0].name.as_str()), (Some("count-rust"), "input"));
    assert_eq!(descriptor.parameters[0].default.as_deref(), Some("1"));
    let tested = bed.must(&["test", "count-rust"]);
    assert!(tested.contains("1 fixture passed"), "{tested}");

    // In another folder.
    let copy = Bed::new();
    copy.new_project("rust", "count-rust");
    copy.must(&["build", "count-rust", "--output", "other.wasm"]);
    assert!(fs::read(copy.path("other.wasm")).unwrap() == bytes, "the same sources gave other bytes");
}

#[test]
fn a_source_that_does_not_compile_is_shown_with_its_line_and_leaves_the_component() {
    let bed = Bed::new();
    bed.new_project("rust", "faulty-rust");
    bed.write("faulty-rust/faulty-rust.wasm", "what was there");
    let source = bed.read("faulty-rust/src/lib.rs").replace("Ok(Json(Count", "Ok(Jsn(Count");
    bed.write("faulty-rust/src/lib.rs", source);
    bed.weir(&["build", "faulty-rust"]).fails(1, &["src/lib.rs:", "Jsn", "error: cargo build --release --target wasm32-wasip2 failed"]);
    assert_eq!(bed.read("faulty-rust/faulty-rust.wasm"), "what was there");
}

#[test]
fn a_crate_that_makes_no_component_is_refused_with_the_fix() {
    let bed = Bed::new();
    bed.new_project("rust", "library-rust");
    let manifest = bed.read("library-rust/Cargo.toml").replace("crate-type = [\"cdylib\"]", "");
    bed.write("library-rust/Cargo.toml", manifest);
    bed.weir(&["build", "library-rust"]).fails(65, &["the crate did not produce a component", "crate-type = [\"cdylib\"]"]);
}

#[test]
fn a_processor_that_does_what_it_should_not_shows_its_author_what() {
    let bed = Bed::new();
    bed.new_project("rust", "faults-rust");
    bed.passes_faults("faults-rust", "rust", "src/lib.rs");
}

#[test]
fn a_crate_without_a_handler_is_refused_with_the_fix() {
    let bed = Bed::new();
    bed.new_project("rust", "idle-rust");
    bed.write("idle-rust/src/lib.rs", "pub fn count() {}\n");
    bed.weir(&["build", "idle-rust"])
        .fails(65, &["does not export `weir:processor/handler`", "weir::processor!(HANDLER, manifest = \"weir.toml\")"]);
}
