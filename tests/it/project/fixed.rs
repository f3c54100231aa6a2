//! The fixtures of plugins and of examples against their components, in the real runtime; the same ones in every language where there are
//! several.

use std::path::{Path, PathBuf};

use weir_tests::guest_path;

use super::bed::{Bed, repository};
use super::components::component;

/// Runs the fixtures of a folder against a component.
#[track_caller]
fn passes(folder: &str, component: &Path) {
    let tested = Bed::new().weir(&["test", repository().join(folder).to_str().unwrap(), "--component", component.to_str().unwrap()]);
    assert_eq!(tested.code, Some(0), "{folder} by {}\n{}{}", component.display(), tested.out, tested.err);
}

#[test]
fn the_component_of_html_to_text_passes_its_fixtures() {
    passes("plugins/html-to-text", &component("plugins/html-to-text"));
}

#[test]
fn the_component_of_json_transform_passes_its_fixtures() {
    passes("plugins/json-transform", &component("plugins/json-transform"));
}

#[test]
fn the_component_of_the_parity_project_passes_its_fixtures() {
    passes("sdk/python/tests/parity", &component("sdk/python/tests/parity"));
}

#[test]
fn the_splitter_in_every_language_gives_the_same_outputs() {
    let splitters: [(&str, PathBuf); 4] = [
        ("Rust", guest_path("splitter")),
        ("Python", component("sdk/python/examples/splitter")),
        ("JavaScript", component("sdk/js/examples/splitter")),
        ("TypeScript", component("sdk/js/examples/typed-splitter")),
    ];
    for (language, splitter) in splitters {
        println!("{language}");
        for folder in ["plugins/splitter", "sdk/js/examples/splitter"] {
            passes(folder, &splitter);
        }
    }
}
