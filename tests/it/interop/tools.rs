//! The tools themselves, installed once per machine, and how to run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use weir_tests::cache;
use weir_tests::wait::within;
use weir_tests::weir::Weir;

/// The packages to install.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/it/interop/requirements.txt");

/// Runs a tool against a gateway, with this token or none; returns its output. The tools always exit with 0, and print what went wrong.
pub(super) async fn run(weir: &Weir, token: Option<&str>, tool: &str, arguments: &[&str]) -> String {
    let bin = tokio::task::spawn_blocking(bin).await.unwrap();
    let mut command = Command::new(bin.join(tool));
    command.args(["-u", weir.url()]).args(arguments).stdin(Stdio::null());
    // Variables of the tester's environment that would change the result.
    for name in ["TRUSTGRAPH_URL", "TRUSTGRAPH_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.env("PYTHONIOENCODING", "utf-8").envs(token.map(|token| ("TRUSTGRAPH_TOKEN", token)));
    let output = within(tool, tokio::task::spawn_blocking(move || command.output().unwrap())).await.unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{tool} {arguments:?}: {}\n{out}{err}", output.status);
    out
}

/// Python with TrustGraph's packages, for a script of `tests/interop`.
pub(super) async fn python() -> PathBuf {
    tokio::task::spawn_blocking(bin).await.unwrap().join("python")
}

/// The folder with the tools, which is created first if necessary. It is outside of the repository, like everything that is fetched once
/// per machine.
fn bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let python = must(Command::new("python3").arg("--version"));
        // Runs of other checkouts wait until it is complete.
        let (_lock, folder) = cache::folder("trustgraph");
        let wanted = format!("{python}{}", fs::read_to_string(REQUIREMENTS).unwrap());
        let installed = folder.join("installed.txt");
        if !fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
            install(&folder);
            fs::write(installed, wanted).unwrap();
        }
        folder.join("bin")
    })
}

fn install(folder: &Path) {
    println!("bringing TrustGraph's tools into {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap();
    }
    must(Command::new("python3").args(["-m", "venv"]).arg(folder));
    let pip = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", REQUIREMENTS];
    must(Command::new(folder.join("bin/pip")).args(pip));
}

/// Runs a command that must succeed; returns its output.
fn must(command: &mut Command) -> String {
    const NEEDED: &str = "TrustGraph's tools are part of the tests: install Python 3 with venv (Debian: apt-get install python3 python3-venv), \
                          and let pip reach PyPI once";
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} did not start ({error}). {NEEDED}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}\n{NEEDED}", output.status);
    out.into_owned()
}
