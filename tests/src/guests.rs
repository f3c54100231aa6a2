//! The components that the tests run, built by `build.rs`: the examples of `tests/guests`, and the plugins.

use std::path::PathBuf;

/// The file of a component: an example of `tests/guests` or a folder of `plugins`, by its name.
///
/// # Panics
/// If there is none with this name; the message lists the existing ones.
#[must_use]
pub fn guest_path(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("WEIR_GUESTS"));
    let path = folder.join(format!("{name}.wasm"));
    assert!(path.is_file(), "no guest `{name}` in {}; there are {}", folder.display(), guest_names().join(", "));
    path
}

/// The file of the plugin `redactor` with the feature `ip`.
#[must_use]
pub fn redactor_ip_path() -> PathBuf {
    PathBuf::from(env!("WEIR_REDACTOR_IP"))
}

/// The bytes of a component; see [`guest_path`].
///
/// # Panics
/// As [`guest_path`].
#[must_use]
pub fn guest(name: &str) -> Vec<u8> {
    let path = guest_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all components, sorted.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn guest_names() -> Vec<String> {
    let files = std::fs::read_dir(env!("WEIR_GUESTS")).expect("build.rs made the folder");
    let mut names: Vec<String> =
        files.filter_map(|file| file.ok()?.file_name().to_str()?.strip_suffix(".wasm").map(str::to_owned)).collect();
    names.sort();
    names
}

/// The bytes of a component with a mark in a custom section: its digest differs, all else is the same.
///
/// # Panics
/// As [`guest_path`].
#[must_use]
pub fn marked_guest(name: &str, mark: u8) -> Vec<u8> {
    let mut bytes = guest(name);
    // A custom section: its id, its size, the length of its name, the name, and its content.
    bytes.extend([0, 6, 4, b'm', b'a', b'r', b'k', mark]);
    bytes
}
