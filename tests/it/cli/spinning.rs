//! Components that spin beside others that have messages to handle.

use serde_json::{Value, json};
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::Weir;

use super::blueprint;
use crate::guests;

/// How long a spinning component may handle one message: all requests beside it must be answered within that time.
const SPINNING: &str = "40s";
/// Requests sent one after the other.
const REQUESTS_COUNT: usize = 100;

/// A Weir with two worker threads, two flows of a spinning component and the flow `one`, which answers requests.
async fn beside_two_spinners(data: &std::path::Path) -> Weir {
    let weir = Weir::up_in(data, &[], &[("TOKIO_WORKER_THREADS", "2"), ("WEIR_COMPONENT_TIME", SPINNING)]).await;
    weir.must(&["deploy", guest_path(guests::PARTS).to_str().unwrap()]).await;
    weir.must(&["deploy", guest_path(guests::SPIN).to_str().unwrap()]).await;
    let topics = json!({"request": "request:tg:ask:{id}", "response": "response:tg:ask:{id}"});
    let asked = json!({"blueprint": {}, "flow": {"parts:{id}": {"topics": topics}}, "interfaces": {"ask": topics}});
    for (name, text) in [("asked", asked), ("spins", blueprint(guests::SPIN, &json!({})))] {
        let file = data.join("blueprint.json");
        std::fs::write(&file, text.to_string()).unwrap();
        weir.must(&["blueprint", "put", name, file.to_str().unwrap()]).await;
    }
    weir.must(&["flow", "start", "asked", "one"]).await;
    assert_eq!(weir.must(&["request", "one", "ask", "{}"]).await, "0\n");
    for flow in ["left", "right"] {
        weir.must(&["flow", "start", "spins", flow]).await;
        weir.post(&format!("/api/v1/flow/{flow}/service/in"), &json!({"spin": true})).await;
    }
    let spins = || async { (spinners(&weir).await.0 == 2).then_some(()) };
    eventually(DEADLINE, "both to spin", spins).await;
    weir
}

/// Messages in flight in the spinning components, and their failed attempts.
async fn spinners(weir: &Weir) -> (u64, u64) {
    let status = weir.get("/api/v1/weir/status").await;
    let all = status["hosts"][0]["processors"].as_array().cloned().unwrap_or_default();
    let spinning = |processor: &&Value| processor["processor"] == guests::SPIN;
    let sum = |name: &str| all.iter().filter(spinning).filter_map(|processor| processor[name].as_u64()).sum();
    (sum("in-hand-count"), sum("failed-count"))
}

/// Background threads that have lowest priority and have used CPU time.
fn threads_of_lowest_priority(pid: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let is_background = |stat: String| {
        // After the name, which may contain anything: the state is the third field, user time the 14th, the nice value the 19th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        stat.contains("(weir-background)") && fields.get(16) == Some(&"19") && fields.get(11).is_some_and(|ticks| *ticks != "0")
    };
    tasks.filter(|task| std::fs::read_to_string(task.path().join("stat")).is_ok_and(is_background)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_spinning_component_per_thread_leaves_capacity_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let weir = beside_two_spinners(folder.path()).await;
    eventually(DEADLINE, "both to go on with lowest priority", || async { (threads_of_lowest_priority(weir.pid()) == 2).then_some(()) })
        .await;
    for _ in 0..REQUESTS_COUNT {
        assert_eq!(weir.post("/api/v1/flow/one/service/ask", &json!({})).await, json!(0));
    }
    assert_eq!(spinners(&weir).await, (2, 0), "{}", weir.said());
    weir.kill();
}
