//! The files in `deploy/`: the binary accepts every command in them, every file and setting that they name exists, and they start a working
//! Weir. Neither Docker nor a running systemd is needed.

mod compose;
mod dockerfile;
mod secrets;
mod start;
mod systemd;

use std::fs;
use std::path::{Path, PathBuf};

/// The folder.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy")
}

/// A file in it.
fn read(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}

/// The user of the image, which owns files that are mounted into a container.
const USER: &str = "10001:10001";

#[test]
fn the_page_of_the_folder_names_every_file_in_it() {
    let page = read("README.md");
    let mut missing = Vec::new();
    for entry in [folder(), folder().join("systemd")].iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "README.md" && name != "secrets" && !page.contains(&name) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "deploy/README.md does not name {}", missing.join(", "));
}
