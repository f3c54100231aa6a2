//! Builds the components that the tests run: the examples of `tests/guests` and every plugin, for wasm32-wasip2, as `NAME.wasm` in the
//! folder whose path is in `WEIR_GUESTS`; the redactor with the feature `ip`, whose path is in `WEIR_REDACTOR_IP`; and the list of the
//! examples' names as constants, `guests.rs`, so that one without a test does not compile.
//!
//! A cargo inside of cargo, since a workspace is built for one target at a time. It has a target folder of its own beside the outer one's
//! profiles: in the same one it would wait for the outer cargo's lock for ever.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "guest";

/// What decides about a component's bytes, relative to the workspace.
const SOURCES: &[&str] = &["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "wit", "sdk/rust", "tests/guests", "plugins"];

fn main() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned();
    for source in SOURCES {
        println!("cargo:rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo:rerun-if-changed=build.rs");
    check_target();
    let plugins = plugins(&workspace);
    let target_folder = target_folder();
    let built = target_folder.join(TARGET).join(PROFILE);
    // Before the plugins as they are by default, whose file it has.
    build(&workspace, &target_folder, &["--package", "weir-redactor", "--features", "ip"]);
    let with_ip = target_folder.join("redactor_ip.wasm");
    fs::copy(built.join("weir_redactor.wasm"), &with_ip).expect("the target folder is writable");
    let packages = plugins.values().flat_map(|package| ["--package", package]);
    build(&workspace, &target_folder, &["--package", "weir-guests", "--examples", "--lib"].into_iter().chain(packages).collect::<Vec<_>>());
    let mut components: BTreeMap<String, PathBuf> =
        plugins.iter().map(|(name, package)| (name.clone(), built.join(format!("{}.wasm", package.replace('-', "_"))))).collect();
    let mut guests = stems(&workspace.join("tests/guests/examples"), "rs");
    guests.sort();
    list(&guests);
    for name in guests {
        let path = built.join("examples").join(format!("{name}.wasm"));
        components.insert(name, path);
    }
    let folder = target_folder.join("components");
    collect(&components, &folder);
    println!("cargo:rustc-env=WEIR_GUESTS={}", folder.display());
    println!("cargo:rustc-env=WEIR_REDACTOR_IP={}", with_ip.display());
}

/// Writes a constant for each guest. The tests include them where a constant without a use is an error.
fn list(guests: &[String]) {
    let constant = |name: &String| format!("pub(crate) const {}: &str = \"{name}\";\n", name.to_uppercase());
    let path = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("guests.rs");
    fs::write(path, guests.iter().map(constant).collect::<String>()).expect("the target folder is writable");
}

/// The package of every plugin, by the plugin's name, which is that of its folder.
fn plugins(workspace: &Path) -> BTreeMap<String, String> {
    let folders = fs::read_dir(workspace.join("plugins")).expect("the workspace has plugins").flatten();
    folders
        .filter_map(|folder| {
            let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).ok()?;
            let package = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))?;
            Some((folder.file_name().into_string().ok()?, package.to_owned()))
        })
        .collect()
}

/// A folder that stays the same over rebuilds and belongs to the target folder of the outer build: this runs for the host, whose output is in
/// `TARGET/PROFILE/build/PACKAGE/out`.
fn target_folder() -> PathBuf {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let outer = out.ancestors().nth(4).expect("cargo's folder has parents");
    outer.join("guests")
}

fn check_target() {
    let rustc = std::env::var_os("RUSTC").expect("cargo sets it");
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output().expect("rustc runs");
    let folder = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && Path::new(folder.trim()).is_dir(),
        "the Rust target {TARGET} is missing, which the tests' components are built for: rustup target add {TARGET}"
    );
}

fn build(workspace: &Path, target_folder: &Path, what: &[&str]) {
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo sets it"));
    cargo.current_dir(workspace).args(["build", "--quiet", "--target", TARGET, "--profile", PROFILE, "--target-dir"]).arg(target_folder);
    cargo.args(what);
    // The outer build's settings are for another target, and clippy's wrapper would only check.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_the_outer_build(name)) {
        cargo.env_remove(name);
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the components for {TARGET} do not build: see above");
}

fn is_of_the_outer_build(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let kept = ["CARGO_HOME", "CARGO_MAKEFLAGS"].contains(&name)
        || ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"].iter().any(|p| name.starts_with(p));
    let ours = ["CARGO_", "RUSTC", "RUSTDOC", "DEP_"].iter().any(|prefix| name.starts_with(prefix))
        || ["RUSTFLAGS", "CLIPPY_ARGS", "TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG", "OUT_DIR", "NUM_JOBS"].contains(&name);
    ours && !kept
}

/// Copies what changed, whole or not at all, and removes files that are no longer components.
fn collect(components: &BTreeMap<String, PathBuf>, folder: &Path) {
    fs::create_dir_all(folder).expect("the target folder is writable");
    for stale in stems(folder, "wasm").iter().filter(|name| !components.contains_key(*name)) {
        fs::remove_file(folder.join(format!("{stale}.wasm"))).expect("the target folder is writable");
    }
    for (name, built) in components {
        let bytes = fs::read(built).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
        let path = folder.join(format!("{name}.wasm"));
        if fs::read(&path).is_ok_and(|before| before == bytes) {
            continue;
        }
        let partial = folder.join(format!("{name}.partial"));
        fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, &path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn stems(folder: &Path, extension: &str) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten().map(|file| file.path());
    files
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
        .collect()
}
