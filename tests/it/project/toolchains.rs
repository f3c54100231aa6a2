//! The tools of authors, fetched once: Python packages into the machine's cache, Node.js packages into the folder that names them. A second
//! run fetches nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use weir_tests::cache;

use super::project_fixture::repository;

/// The test tool of `sdk/python`, in addition to what its own files name.
const PYTEST: &str = "pytest==8.4.2";
/// Projects whose requirements their tests need.
const PYTHON_PROJECTS: [&str; 2] = ["plugins/html-to-text", "sdk/python/examples/splitter"];
const SDK_JS: &str = "sdk/js";

/// Runs a command that must succeed; returns its standard output.
pub(super) fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} did not start ({error}): the tests of the SDKs need Python 3.11 or later with venv, and Node.js 20.12 or later with npm")
    });
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// A Python with the build tools, pytest, and the packages of the projects here, but without the SDK: that is the checkout's.
pub(super) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let (_lock, folder) = cache::folder("python-sdk");
        let version = must(Command::new("python3").arg("--version"));
        let files: Vec<PathBuf> = PYTHON_PROJECTS.iter().map(|project| repository().join(project).join("requirements.txt")).collect();
        let required: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let wanted = format!("{version}{PYTEST}\n{}\n{required}", componentize_py());
        let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
        if !fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
            must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTEST, &componentize_py()]);
            must(pip.args(files.iter().flat_map(|file| [Path::new("--requirement"), file])));
            fs::write(installed, wanted).unwrap();
        }
        python
    })
}

/// The requirement of the SDK's builds, which `pyproject.toml` names.
fn componentize_py() -> String {
    let manifest = fs::read_to_string(repository().join("sdk/python/pyproject.toml")).unwrap();
    let line = manifest.lines().find_map(|line| line.strip_prefix("build = [\"")?.strip_suffix("\"]"));
    line.expect("the extra `build` names one requirement").to_owned()
}

/// Makes npm install the tools of the JavaScript SDK into its folder, where projects of a checkout find them.
pub(super) fn sdk_js() -> PathBuf {
    static DONE: OnceLock<()> = OnceLock::new();
    let folder = repository().join(SDK_JS);
    DONE.get_or_init(|| {
        // Other runs in this checkout wait until it is complete.
        let _lock = locked(&folder.join("node_modules.lock"));
        let wanted = fs::read_to_string(folder.join("package-lock.json")).unwrap();
        let installed = folder.join("node_modules/.weir-installed");
        if !fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
            must(npm(&folder).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]));
            fs::write(installed, wanted).unwrap();
        }
    });
    folder
}

/// npm in a folder. Uses its cache for what it has fetched before.
pub(super) fn npm(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(folder).env("npm_config_prefer_offline", "true").env("NO_COLOR", "1");
    npm
}

/// Locks a file until the returned handle is dropped.
pub(super) fn locked(file: &Path) -> File {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let lock = File::create(file).unwrap();
    lock.lock().unwrap();
    lock
}
