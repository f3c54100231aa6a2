//! A real browser: headless Chromium, installed once per machine, and how to run it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// A variable that names a browser to use instead of the machine's own.
const VARIABLE: &str = "WEIR_TEST_CHROMIUM";
/// Without its sandbox, which root cannot use, and without any network access of its own.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser that has a page open. Dropping it ends the process.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens an address; the page's scripts run until this is dropped.
    ///
    /// # Panics
    /// If there is no Chromium and it cannot be installed.
    #[must_use]
    pub fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = command(profile.path()).arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Browser { child, _profile: profile }
    }

    /// Opens an address and returns the page as HTML, once loaded.
    ///
    /// # Panics
    /// As [`Browser::open`], and if the browser fails.
    #[must_use]
    pub fn dump(url: &str) -> String {
        let profile = tempfile::tempdir().unwrap();
        let Output { status, stdout, stderr } = command(profile.path()).args(["--dump-dom", url]).output().unwrap();
        assert!(status.success(), "{status}\n{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(profile: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(FLAGS).arg(format!("--user-data-dir={}", profile.display())).stdin(Stdio::null());
    command
}

fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let named = std::env::var(VARIABLE).unwrap_or_else(|_| "chromium".to_owned());
        if !runs(&named) {
            println!("installing Chromium");
            install();
        }
        assert!(runs(&named), "{named} does not run: set {VARIABLE} to a Chromium or Chrome that does");
        named
    })
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// With Debian's tools, which require root.
fn install() {
    for arguments in [&["update", "-q"][..], &["install", "-y", "-q", "--no-install-recommends", "chromium"]] {
        let output = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
        let failed = match output {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        panic!(
            "Chromium is part of the tests and apt-get could not install it ({failed}): install it as root with \
             `apt-get install chromium`, or set {VARIABLE} to a Chromium or Chrome that is there"
        );
    }
}
