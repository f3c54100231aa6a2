//! Components of the projects in this repository, built by `weir build` and cached by the digest of their sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::project_fixture::{ProjectFixture, repository};
use super::toolchains::{locked, sdk_js};

/// The sources of a component in addition to its project.
const SHARED: [&str; 2] = ["wit", "host/project/src"];
const OF_PYTHON: [&str; 2] = ["sdk/python/pyproject.toml", "sdk/python/src"];
const OF_JS: [&str; 5] = ["sdk/js/build", "sdk/js/package-lock.json", "sdk/js/project", "sdk/js/src", "sdk/js/examples/splitter/src"];
/// Files created by tools, and files that are not part of a component.
const SKIPPED: [&str; 6] = [".weir", "node_modules", "__pycache__", ".pytest_cache", "test", "tests"];

/// The component of a project of this repository, by its folder. It is built unless a previous run did so from the same sources; a build
/// also installs its packages.
pub(crate) fn component(project: &str) -> PathBuf {
    let folder = repository().join(project);
    let is_python = fs::read_to_string(folder.join("weir.toml")).unwrap().contains("language = \"python\"");
    let of_language: &[&str] = if is_python { &OF_PYTHON } else { &OF_JS };
    let made_of: Vec<&str> = SHARED.iter().chain(of_language).copied().chain([project]).collect();
    let name = project.replace('/', "-");
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
    let file = built.join(format!("{name}-{}.wasm", digest(&made_of)));
    let _lock = locked(&built.join(format!("{name}.lock")));
    // A new checkout beside a cached target: its own tests need the packages that a build installs.
    let is_bare = !is_python && !folder.join("node_modules").is_dir();
    if is_bare || !file.is_file() {
        remove_older(&built, &name);
        if !is_python {
            sdk_js();
        }
        ProjectFixture::new().must(&["build", folder.to_str().unwrap(), "--output", file.to_str().unwrap()]);
    }
    file
}

/// The digest of the names and contents of all files in some files and folders of the repository.
fn digest(paths: &[&str]) -> String {
    let mut files = BTreeMap::new();
    for path in paths {
        collect(&repository().join(path), &mut files);
    }
    let mut digest = Sha256::new();
    for (path, content) in files {
        let name = path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
        digest.update(format!("{name}\0{}\0", content.len()));
        digest.update(content);
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn collect(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    if path.is_file() {
        files.insert(path.to_owned(), fs::read(path).unwrap());
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let name = name.to_str().unwrap();
        if !SKIPPED.contains(&name) && !name.ends_with(".wasm") && !name.ends_with(".lock") {
            collect(&entry.path(), files);
        }
    }
}

/// The folder for the compiled code of a component, kept for the next run, beside it.
pub(crate) fn code_of(component: &Path) -> PathBuf {
    component.with_extension("code")
}

/// Removes older components of a project, and their code.
fn remove_older(folder: &Path, name: &str) {
    let is_older = |file: &str| {
        let rest = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        let digest = rest.and_then(|rest| rest.strip_suffix(".wasm").or_else(|| rest.strip_suffix(".code")));
        digest.is_some_and(|digest| digest.len() == 16 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if is_older(entry.file_name().to_str().unwrap()) {
            if entry.file_type().unwrap().is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }.unwrap();
        }
    }
}
