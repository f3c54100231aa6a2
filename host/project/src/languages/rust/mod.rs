//! Rust: `cargo build` for `wasm32-wasip2`, which builds a component directly.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::language::{BuildContext, Language, Purpose, SDK_VERSION};
use crate::command_runner::program;
use crate::error::ProjectError;

const TARGET: &str = "wasm32-wasip2";
/// Settings that reduce a build of one crate to a second once its dependencies are built.
const QUICK: [&str; 4] =
    ["profile.release.lto=\"off\"", "profile.release.codegen-units=16", "profile.release.incremental=true", "profile.release.opt-level=1"];

pub(super) const RUST: Language = Language {
    name: "rust",
    title: "Rust",
    default_source: "Cargo.toml",
    handler: "name your function in src/lib.rs: weir::processor!(HANDLER, manifest = \"weir.toml\")",
    template: &[
        ("weir.toml", include_str!("template/weir.toml")),
        ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
        ("src/lib.rs", include_str!("template/lib.rs.txt")),
        ("tests/example.json", include_str!("../example.json")),
        ("README.md", include_str!("template/README.md")),
        (".gitignore", include_str!("template/gitignore.txt")),
    ],
    sdk,
    build,
};

fn sdk(folder: Option<&Path>) -> String {
    match folder {
        Some(folder) => format!("weir = {{ path = {:?} }}", folder.join("rust").display().to_string()),
        None => format!("weir = \"{SDK_VERSION}\""),
    }
}

fn build(context: &BuildContext<'_>) -> Result<PathBuf, ProjectError> {
    let cargo = cargo()?;
    let manifest = context.folder.join(context.source);
    if !manifest.is_file() {
        let problem = "the file does not exist: `source` in weir.toml must be the Cargo.toml of the crate".to_owned();
        return Err(ProjectError::Component { file: manifest, problem, fix: None });
    }
    check_target(context.folder)?;
    let mut command = Command::new(cargo);
    // The paths embedded for panics must not depend on where the crates are, so that the same sources give the same bytes.
    let config = format!("target.{TARGET}.rustflags = [{}]", remaps().join(", "));
    command.current_dir(context.folder).args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    if context.purpose == Purpose::Try {
        command.args(QUICK.iter().flat_map(|setting| ["--config", *setting]));
    }
    command.arg("--config").arg(config).arg("--manifest-path").arg(&manifest);
    let printed = context.steps.run(&format!("cargo build --release --target {TARGET}"), &mut command).map_err(readable)?;
    artifact(&printed, &manifest).ok_or_else(|| ProjectError::Component {
        file: manifest,
        problem: "the crate did not produce a component".to_owned(),
        fix: Some("add `[lib]` with `crate-type = [\"cdylib\"]` to Cargo.toml".to_owned()),
    })
}

/// The error without cargo's machine-readable messages.
fn readable(error: ProjectError) -> ProjectError {
    match error {
        ProjectError::Step { step, output, fix } => {
            let lines = output.lines().filter(|line| !line.starts_with("{\"reason\":"));
            let output = lines.collect::<Vec<_>>().join("\n");
            ProjectError::Step { step, output, fix }
        }
        other => other,
    }
}

fn cargo() -> Result<PathBuf, ProjectError> {
    program("cargo").ok_or_else(|| ProjectError::MissingTool {
        tool: "cargo".to_owned(),
        needed_for: "needed to build components in Rust",
        fix: format!("install Rust from https://rustup.rs, then run `rustup target add {TARGET}`"),
    })
}

/// Checks that the target's standard library is installed: without it cargo prints an error for each crate.
fn check_target(folder: &Path) -> Result<(), ProjectError> {
    let asked = Command::new("rustc").current_dir(folder).args(["--print", "sysroot"]).output();
    // If rustc fails, cargo reports why.
    let Ok(answer) = asked else { return Ok(()) };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    if !sysroot.is_dir() || sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    Err(ProjectError::MissingTool {
        tool: format!("the Rust target {TARGET}"),
        needed_for: "components are built for it",
        fix: format!("run `rustup target add {TARGET}` in the project's folder"),
    })
}

fn remaps() -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let pairs = [(home, "/cargo"), (super::language::sdk_folder(), "/weir/sdk")];
    let shown = |(from, to): (Option<PathBuf>, &str)| Some(format!("{:?}", format!("--remap-path-prefix={}={to}", from?.display())));
    pairs.into_iter().filter_map(shown).collect()
}

/// Cargo's message about each artifact.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The component of this crate, from cargo's messages.
fn artifact(printed: &str, manifest: &Path) -> Option<PathBuf> {
    let manifest = manifest.canonicalize().ok()?;
    let is_ours = |artifact: &Artifact| {
        artifact.reason == "compiler-artifact" && artifact.manifest_path.canonicalize().is_ok_and(|path| path == manifest)
    };
    let artifacts = printed.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok()).filter(is_ours);
    artifacts.flat_map(|artifact| artifact.filenames).rfind(|file| file.extension().is_some_and(|ending| ending == "wasm"))
}
