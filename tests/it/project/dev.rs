//! `weir dev`: from an edit to a running flow.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use weir_tests::wait::eventually;
use weir_tests::weir::binary;

use super::bed::{Bed, shared_target};

/// Builds of a crate from nothing, on a machine that does other things as well.
const BUILD_TIME: std::time::Duration = std::time::Duration::from_secs(300);

/// A `weir dev` that runs, with what it prints in a file.
struct Dev<'b> {
    bed: &'b Bed,
    child: Child,
}

impl<'b> Dev<'b> {
    fn start(bed: &'b Bed, project: &str) -> Self {
        let output = File::create(bed.path("dev.log")).unwrap();
        let mut command = Command::new(binary());
        command.current_dir(bed.path("")).args(["dev", project, "-p", "shortest=1"]);
        command.env("CARGO_TARGET_DIR", shared_target()).env_remove("RUSTFLAGS").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Dev { bed, child: command.spawn().unwrap() }
    }

    fn said(&self) -> String {
        self.bed.read("dev.log")
    }

    /// Waits until something was printed so often.
    async fn says(&self, words: &str, count: usize) {
        eventually(BUILD_TIME, words, || async { (self.said().matches(words).count() >= count).then_some(()) }).await;
    }
}

impl Drop for Dev<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.bed.path("dev.log")).unwrap_or_default());
        }
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_the_running_flow_and_an_error_leaves_the_old_version() {
    let bed = Bed::new();
    bed.new_project("rust", "dev-rust");
    let dev = Dev::start(&bed, "dev-rust");
    dev.says("ms after the change", 1).await;
    // The folder of its Weir is in the command that it shows.
    let said = dev.said();
    let data = said.split("weir --data ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    bed.write("m.json", r#"{"id": "a", "text": "to be"}"#);
    bed.must(&["--data", &data, "send", "dev", "input", bed.path("m.json").to_str().unwrap()]);
    dev.says(r#""words":2"#, 1).await;

    let source = bed.read("dev-rust/src/lib.rs");
    bed.write("dev-rust/src/lib.rs", source.replace("Ok(Json(Count { id: document.id, words }))", "Ok(Jsn(1))"));
    dev.says("error: cargo build", 1).await;
    assert!(dev.said().contains("src/lib.rs:"), "the line is shown");
    bed.must(&["--data", &data, "send", "dev", "input", bed.path("m.json").to_str().unwrap()]);
    dev.says(r#""words":2"#, 2).await;

    let fixture = bed.read("dev-rust/tests/example.json");
    bed.write("dev-rust/tests/example.json", fixture.replace("\"words\": 1", "\"words\": 11"));
    bed.write("dev-rust/src/lib.rs", source.replace("words }))", "words: words + 10 }))"));
    dev.says("ms after the change", 2).await;
    bed.must(&["--data", &data, "send", "dev", "input", bed.path("m.json").to_str().unwrap()]);
    dev.says(r#""words":12"#, 1).await;
}
