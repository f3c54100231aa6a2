//! What authors deliver: the components made with the SDK, and the guide that leads to one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod guide;
mod keywords;
mod language;
mod parity;
mod plugin;
mod redactor;
mod router;
mod splitter;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use weir_config::records::Descriptor;
use weir_tests::{guest, guest_names};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// The descriptor beside a component's source.
fn written_descriptor(name: &str) -> Vec<u8> {
    let guest = repository().join(format!("tests/guests/examples/{name}.json"));
    let plugin = repository().join(format!("plugins/{name}/descriptor.json"));
    fs::read(&guest).or_else(|_| fs::read(&plugin)).unwrap_or_else(|error| panic!("{} or {}: {error}", guest.display(), plugin.display()))
}

/// The components made with `processor!`, with its arguments in their source. Guests that represent other languages, or other versions of
/// the contract, are made without it.
fn made_by_the_sdk() -> Vec<(String, String)> {
    let made = |name: String| {
        let guest = repository().join(format!("tests/guests/examples/{name}.rs"));
        let plugin = repository().join(format!("plugins/{name}/src/lib.rs"));
        let source = fs::read_to_string(guest).or_else(|_| fs::read_to_string(plugin)).expect("a component has a source");
        let (_, rest) = source.split_once("\nweir::processor!")?;
        let (arguments, _) = rest.split_once('\n')?;
        Some((name, arguments.to_owned()))
    };
    guest_names().into_iter().filter_map(made).collect()
}

#[test]
fn a_component_embeds_the_descriptor_next_to_its_source() {
    let made = made_by_the_sdk();
    assert!(made.len() > 20, "only {} components are made by the SDK", made.len());
    for (name, _) in made {
        let inspected = weir_runtime::inspect(&guest(&name)).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let written = Descriptor::parse(&written_descriptor(&name)).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(inspected.descriptor, written, "{name}");
        assert_eq!(inspected.descriptor.name, Some(name.replace('_', "-")), "a component is named after its source");
        assert_eq!(inspected.world, "0.1.0", "{name}");
    }
}

#[test]
fn only_a_component_with_setup_exports_it() {
    let made = made_by_the_sdk();
    assert!(made.iter().any(|(_, arguments)| arguments.contains("setup = ")), "a component has a setup");
    for (name, arguments) in made {
        let inspected = weir_runtime::inspect(&guest(&name)).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let exports_setup = inspected.exports.iter().any(|export| export == "setup");
        assert_eq!(exports_setup, arguments.contains("setup = "), "{name}");
    }
}

#[test]
fn every_example_of_the_guests_is_built() {
    let examples = fs::read_dir(repository().join("tests/guests/examples")).expect("the folder is there");
    let names: BTreeSet<_> = guest_names().into_iter().collect();
    for path in examples.map(|file| file.expect("the folder can be read").path()).filter(|path| path.extension().is_some_and(|e| e == "rs"))
    {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("names are ASCII");
        assert!(names.contains(name), "{name} is no [[example]] in tests/guests/Cargo.toml");
    }
}
