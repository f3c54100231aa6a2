//! `weir dev`: from an edit to a running flow.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::{Weir, binary};

use super::bed::{Bed, shared_target};

/// Builds of a crate from nothing, on a machine that does other things as well.
const BUILD_TIME: std::time::Duration = std::time::Duration::from_secs(300);

/// A `weir dev` that runs, with what it prints in a file.
struct Dev<'b> {
    bed: &'b Bed,
    child: Child,
}

impl<'b> Dev<'b> {
    fn start(bed: &'b Bed, arguments: &[&str]) -> Self {
        let output = File::create(bed.path("dev.log")).unwrap();
        let mut command = Command::new(binary());
        command.current_dir(bed.path("")).args(arguments);
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

impl Dev<'_> {
    /// Sends it Ctrl-C, and waits for its end.
    async fn ends(mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::INT).unwrap();
        let code = eventually(DEADLINE, "weir dev to end", || {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        });
        assert_eq!(code.await.code(), Some(0));
    }
}

impl Drop for Dev<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.bed.path("dev.log")).unwrap_or_default());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_the_running_flow_and_an_error_leaves_the_old_version() {
    let bed = Bed::new();
    bed.new_project("rust", "dev-rust");
    let dev = Dev::start(&bed, &["dev", "dev-rust", "-p", "shortest=1"]);
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

    // However it ends, its Weir does not outlive it.
    drop(dev);
    let is_gone = || async { (!runs_with(&data)).then_some(()) };
    eventually(DEADLINE, "the end of its Weir", is_gone).await;
}

/// Whether a process has this among its arguments.
fn runs_with(argument: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    processes.into_iter().any(|line| line.split(|byte| *byte == 0).any(|part| part == argument.as_bytes()))
}

/// A Weir with a flow `one` of the component of a project, as it was built.
async fn with_flow(bed: &Bed, project: &str) -> Weir {
    bed.must(&["build", project]);
    let weir = Weir::up(&bed.path("data")).await;
    let file = bed.path(project).join(format!("{project}.wasm"));
    weir.must(&["deploy", file.to_str().unwrap()]).await;
    let topics = json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"});
    let blueprint = json!({
        "blueprint": {},
        "flow": { format!("{project}:{{id}}"): {"topics": topics} },
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    bed.write("b.json", blueprint.to_string());
    weir.must(&["blueprint", "put", "b", bed.path("b.json").to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    weir
}

/// The deployments of a Weir.
async fn deployed(weir: &Weir) -> Vec<String> {
    let listed: Value = serde_json::from_str(&weir.must(&["components", "--json"]).await).unwrap();
    listed.as_array().unwrap().iter().map(|one| one["component"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_flow_is_given_back_as_it_was_and_no_version_of_development_is_left() {
    let bed = Bed::new();
    bed.new_project("rust", "lent-rust");
    let weir = with_flow(&bed, "lent-rust").await;
    let data = bed.path("data");
    let data = data.to_str().unwrap();
    let words = async |text: &str| {
        bed.write("m.json", json!({"id": "a", "text": text}).to_string());
        weir.must(&["send", "one", "in", bed.path("m.json").to_str().unwrap()]).await;
        let taken: Value = serde_json::from_str(&weir.must(&["take", "one", "out", "--count", "1"]).await).unwrap();
        taken["words"].as_u64().unwrap()
    };
    let source = bed.read("lent-rust/src/lib.rs");
    let fixture = bed.read("lent-rust/tests/example.json");
    let add = |count: u64| {
        bed.write("lent-rust/tests/example.json", fixture.replace("\"words\": 1", &format!("\"words\": {}", 1 + count)));
        bed.write("lent-rust/src/lib.rs", source.replace("words }))", &format!("words: words + {count} }}))")));
    };
    add(10);
    let dev = Dev::start(&bed, &["--data", data, "dev", "lent-rust", "--flow", "one"]);
    dev.says("ms after the change", 1).await;
    assert_eq!(words("to be").await, 12);
    let first = deployed(&weir).await;
    assert_eq!(first.len(), 2, "{first:?}");
    add(20);
    dev.says("ms after the change", 2).await;
    assert_eq!(words("to be").await, 22);
    add(30);
    dev.says("ms after the change", 3).await;
    assert_eq!(words("to be").await, 32);
    let third = deployed(&weir).await;
    let is_left = |component: &String| third.contains(component);
    assert!(third.len() == 3 && first.iter().filter(|it| is_left(it)).count() == 1, "the first is removed: {first:?} {third:?}");
    dev.says("waiting for changes", 3).await;
    dev.ends().await;
    assert_eq!(words("to be").await, 2, "what ran before runs again");
    assert_eq!(deployed(&weir).await, ["lent-rust@0.1.0"]);
    assert!(bed.read("dev.log").contains("lent-rust of flow one runs lent-rust@0.1.0 again"), "{}", bed.read("dev.log"));
}
