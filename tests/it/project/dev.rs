//! `weir dev`: from an edit to a running flow.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::{Weir, binary};

use super::project_fixture::{ProjectFixture, shared_target};

/// Builds a crate from scratch, on a machine that is busy with other work: all tests that build crates wait for one folder.
const BUILD_TIME: std::time::Duration = std::time::Duration::from_secs(900);

/// A running `weir dev`, with its output in a file.
struct Dev<'b> {
    workspace: &'b ProjectFixture,
    child: Child,
}

impl<'b> Dev<'b> {
    fn start(workspace: &'b ProjectFixture, arguments: &[&str]) -> Self {
        let output = File::create(workspace.path("dev.log")).unwrap();
        let mut command = Command::new(binary());
        command.current_dir(workspace.path("")).args(arguments);
        command.env("CARGO_TARGET_DIR", shared_target()).env_remove("RUSTFLAGS").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        Dev { workspace, child: command.spawn().unwrap() }
    }

    fn said(&self) -> String {
        self.workspace.read("dev.log")
    }

    /// Waits until something was printed this often.
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
            eprintln!("{}", fs::read_to_string(self.workspace.path("dev.log")).unwrap_or_default());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_the_running_flow_and_an_error_leaves_the_old_version() {
    let workspace = ProjectFixture::new();
    workspace.new_project("rust", "dev-rust");
    let dev = Dev::start(&workspace, &["dev", "dev-rust", "-p", "shortest=1"]);
    dev.says("ms after the change", 1).await;
    // The folder of its Weir is in the command that it shows.
    let said = dev.said();
    let data = said.split("weir --data ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    workspace.write("m.json", r#"{"id": "a", "text": "to be"}"#);
    workspace.must(&["--data", &data, "send", "dev", "input", workspace.path("m.json").to_str().unwrap()]);
    dev.says(r#""words":2"#, 1).await;

    let source = workspace.read("dev-rust/src/lib.rs");
    workspace.write("dev-rust/src/lib.rs", source.replace("Ok(Json(Count { id: document.id, words }))", "Ok(Jsn(1))"));
    dev.says("error: cargo build", 1).await;
    assert!(dev.said().contains("src/lib.rs:"), "the line is shown");
    workspace.must(&["--data", &data, "send", "dev", "input", workspace.path("m.json").to_str().unwrap()]);
    dev.says(r#""words":2"#, 2).await;

    let fixture = workspace.read("dev-rust/tests/example.json");
    workspace.write("dev-rust/tests/example.json", fixture.replace("\"words\": 1", "\"words\": 11"));
    workspace.write("dev-rust/src/lib.rs", source.replace("words }))", "words: words + 10 }))"));
    dev.says("ms after the change", 2).await;
    workspace.must(&["--data", &data, "send", "dev", "input", workspace.path("m.json").to_str().unwrap()]);
    dev.says(r#""words":12"#, 1).await;

    // However it ends, its Weir ends with it.
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
async fn with_flow(workspace: &ProjectFixture, project: &str) -> Weir {
    workspace.must(&["build", project]);
    let weir = Weir::up(&workspace.path("data")).await;
    let file = workspace.path(project).join(format!("{project}.wasm"));
    weir.must(&["deploy", file.to_str().unwrap()]).await;
    let topics = json!({"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"});
    let blueprint = json!({
        "blueprint": {},
        "flow": { format!("{project}:{{id}}"): {"topics": topics} },
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    workspace.write("b.json", blueprint.to_string());
    weir.must(&["blueprint", "put", "b", workspace.path("b.json").to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    weir
}

/// The deployments of a Weir.
async fn deployed(weir: &Weir) -> Vec<String> {
    let listed: Value = serde_json::from_str(&weir.must(&["components", "--json"]).await).unwrap();
    listed.as_array().unwrap().iter().map(|one| one["component"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_flow_is_restored_and_no_development_version_is_left() {
    let workspace = ProjectFixture::new();
    workspace.new_project("rust", "lent-rust");
    let weir = with_flow(&workspace, "lent-rust").await;
    let data = workspace.path("data");
    let data = data.to_str().unwrap();
    let words = async |text: &str| {
        workspace.write("m.json", json!({"id": "a", "text": text}).to_string());
        weir.must(&["send", "one", "in", workspace.path("m.json").to_str().unwrap()]).await;
        let taken: Value = serde_json::from_str(&weir.must(&["take", "one", "out", "--count", "1"]).await).unwrap();
        taken["words"].as_u64().unwrap()
    };
    let source = workspace.read("lent-rust/src/lib.rs");
    let fixture = workspace.read("lent-rust/tests/example.json");
    let add = |count: u64| {
        workspace.write("lent-rust/tests/example.json", fixture.replace("\"words\": 1", &format!("\"words\": {}", 1 + count)));
        workspace.write("lent-rust/src/lib.rs", source.replace("words }))", &format!("words: words + {count} }}))")));
    };
    add(10);
    let dev = Dev::start(&workspace, &["--data", data, "dev", "lent-rust", "--flow", "one"]);
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
    assert!(workspace.read("dev.log").contains("lent-rust of flow one runs lent-rust@0.1.0 again"), "{}", workspace.read("dev.log"));
}
