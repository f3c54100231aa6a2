//! The fixtures of plugins and of examples against their components, in the real runtime; the same ones in every language if there are
//! several.

use std::fs;
use std::path::{Path, PathBuf};

use weir_tests::guest_path;

use super::components::component;
use super::project_fixture::{ProjectFixture, repository};

/// Runs the fixtures of a folder against a component.
#[track_caller]
fn passes(folder: &Path, component: &Path) {
    let tested = ProjectFixture::new().weir(&["test", folder.to_str().unwrap(), "--component", component.to_str().unwrap()]);
    assert_eq!(tested.code, Some(0), "{} by {}\n{}{}", folder.display(), component.display(), tested.out, tested.err);
}

/// The fixtures of a project against its own component.
#[track_caller]
fn passes_its_own(project: &str) {
    passes(&repository().join(project), &component(project));
}

#[test]
fn the_component_of_html_to_text_passes_its_fixtures() {
    passes_its_own("plugins/html-to-text");
}

#[test]
fn the_component_of_json_transform_passes_its_fixtures() {
    passes_its_own("plugins/json-transform");
}

#[test]
fn the_component_of_the_parity_project_in_python_passes_its_fixtures() {
    passes_its_own("sdk/python/tests/parity");
}

#[test]
fn the_component_of_the_parity_project_in_javascript_passes_its_fixtures() {
    passes_its_own("sdk/js/test/parity");
}

#[test]
fn the_splitter_in_every_language_gives_the_same_outputs() {
    // The fixtures of the plugin and of the example in one folder, which keeps the compiled code for the next run.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components/splitter");
    let fixtures = folder.join("tests");
    let _ = fs::remove_dir_all(&fixtures);
    fs::create_dir_all(&fixtures).unwrap();
    for from in ["plugins/splitter/tests", "sdk/js/examples/splitter/tests"] {
        for file in fs::read_dir(repository().join(from)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), fixtures.join(file.file_name())).unwrap();
        }
    }
    let splitters: [(&str, PathBuf); 4] = [
        ("Rust", guest_path("splitter")),
        ("Python", component("sdk/python/examples/splitter")),
        ("JavaScript", component("sdk/js/examples/splitter")),
        ("TypeScript", component("sdk/js/examples/typed-splitter")),
    ];
    for (language, splitter) in splitters {
        println!("{language}");
        passes(&folder, &splitter);
    }
}
