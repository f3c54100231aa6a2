//! What happens when a process is killed at any moment, or terminated under load: nothing is lost and nothing is duplicated.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use weir_pubsub::Queue;
use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions, OpenError, SyncMode};
use weir_tests::chain::{Chain, Place};
use weir_tests::look::messages;
use weir_tests::wait::{DEADLINE, eventually, pass, seed};
use weir_tests::weir::{Weir, run};

/// How often only the broker is killed.
const BROKER_ROUNDS: u64 = 24;
/// How often all of Weir is killed.
const WEIR_ROUNDS: u32 = 10;
/// Messages imported in each of those rounds.
const BATCH: u32 = 600;

/// Runs the chain in a separate process, kills it right after it has confirmed this many numbers, and returns all that it confirmed.
fn run_and_kill(folder: &Path, first: u64, sync: &str, confirmed_count: usize) -> Vec<u64> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chain"));
    command.arg(folder).arg(first.to_string()).arg(sync).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut confirmed: Vec<u64> = lines.by_ref().take(confirmed_count).map(|line| line.unwrap().parse().unwrap()).collect();
    assert_eq!(confirmed.len(), confirmed_count, "the chain ended by itself: {:?}", child.try_wait());
    child.kill().unwrap();
    child.wait().unwrap();
    // What it printed before it was killed; a torn line does not count as printed.
    for number in lines.map_while(Result::ok).filter_map(|line| line.parse().ok()) {
        if confirmed.last().is_some_and(|last| last + 1 == number) {
            confirmed.push(number);
        }
    }
    confirmed
}

/// Counts how often each number is on one path.
async fn count(chain: &Chain, way: [Place; 3]) -> BTreeMap<u64, u32> {
    let mut counts = BTreeMap::new();
    for place in way {
        for number in chain.numbers(place).await {
            *counts.entry(number).or_default() += 1;
        }
    }
    counts
}

/// Every confirmed number is there once; anything else there was published, unconfirmed, and is there once.
async fn check(chain: &Chain, confirmed: &BTreeSet<u64>) {
    let ways = [[Place::A, Place::Left, Place::C], [Place::A, Place::Right, Place::D]];
    let mut of_ways = Vec::new();
    for way in ways {
        let counts = count(chain, way).await;
        let lost: Vec<_> = confirmed.iter().filter(|number| !counts.contains_key(number)).collect();
        let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        assert!(lost.is_empty() && doubled.is_empty(), "{way:?}: lost {lost:?}, doubled {doubled:?}");
        of_ways.push(counts.into_keys().collect::<BTreeSet<_>>());
    }
    assert_eq!(of_ways[0], of_ways[1], "a settle reaches all queues of its topic or none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_at_any_moment_loses_and_duplicates_nothing() {
    let mut rng = StdRng::seed_from_u64(seed());
    let folder = tempfile::tempdir().unwrap();
    let mut confirmed = BTreeSet::new();
    for round in 0..BROKER_ROUNDS {
        // Surviving the end of a process needs no flush to the disk, so most rounds do without.
        let sync = if round % 4 == 0 { "data" } else { "none" };
        let (path, count) = (folder.path().to_owned(), rng.random_range(1..400));
        let said = tokio::task::spawn_blocking(move || run_and_kill(&path, round * 1_000_000, sync, count)).await.unwrap();
        confirmed.extend(said);
        let chain = Chain::open(folder.path(), SyncMode::None).await;
        check(&chain, &confirmed).await;
        chain.close().await;
    }
    let chain = Chain::open(folder.path(), SyncMode::None).await;
    chain.drain().await;
    check(&chain, &confirmed).await;
    for end in [Place::C, Place::D] {
        assert!(chain.numbers(end).await.is_sorted(), "one consumer at each place, so the order is kept");
    }
    chain.close().await;
}

#[tokio::test]
async fn a_queue_folder_can_be_opened_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap();
    let error = EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).err().unwrap();
    assert!(matches!(&error, OpenError::InUse { folder: named } if named == folder.path()), "{error}");
    broker.close().await;
    EmbeddedBroker::open(folder.path(), EmbeddedOptions::default()).unwrap().close().await;
}

/// A Weir with one flow of the echo component.
async fn with_echo(data: &Path) -> Weir {
    let weir = Weir::up(data).await;
    weir.must(&["deploy", weir_tests::guest_path("echo").to_str().unwrap()]).await;
    let blueprint = json!({
        "description": "sends what comes in on as it is",
        "blueprint": {},
        "flow": {"echo:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    let file = data.join("blueprint.json");
    std::fs::write(&file, blueprint.to_string()).unwrap();
    weir.must(&["blueprint", "put", "echoing", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "echoing", "one"]).await;
    weir
}

/// Imports messages with these numbers, which is answered once all are durable.
async fn import(weir: &Weir, numbers: Range<u32>) {
    let count = numbers.len();
    let lines: String = numbers.map(|n| format!("{{\"number\": {n}}}\n")).collect();
    let answer = weir.post_text("/api/v1/weir/flows/one/interfaces/in/messages", "application/x-ndjson", lines).await;
    assert_eq!(answer, json!({"count": count}));
}

/// How often each number is in a queue of a folder that is not in use. No two messages there have the same id.
async fn numbers_at_rest(data: &Path, topic: &str, subscription: &str) -> BTreeMap<u64, u32> {
    let broker = EmbeddedBroker::open(&data.join("queues"), EmbeddedOptions::default()).unwrap();
    let queue = Queue::new(topic.parse().unwrap(), subscription.parse().unwrap()).unwrap();
    let (mut counts, mut ids) = (BTreeMap::new(), BTreeSet::new());
    for message in messages(&*broker, &queue, u32::MAX).await {
        assert!(ids.insert(message.id.unwrap()), "{} is there twice", message.id.unwrap());
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        *counts.entry(body["number"].as_u64().unwrap()).or_default() += 1;
    }
    broker.close().await;
    counts
}

async fn exit_at_rest(data: &Path) -> BTreeMap<u64, u32> {
    numbers_at_rest(data, "flow:tg:out:one", "gateway--one--out").await
}

async fn input_at_rest(data: &Path) -> BTreeMap<u64, u32> {
    numbers_at_rest(data, "flow:tg:in:one", "echo--one--input").await
}

/// How often each number is in either of two queues.
fn added(mut one: BTreeMap<u64, u32>, other: BTreeMap<u64, u32>) -> BTreeMap<u64, u32> {
    for (number, count) in other {
        *one.entry(number).or_default() += count;
    }
    one
}

/// The expected count of each number of a range: once.
fn once(numbers: Range<u32>) -> BTreeMap<u64, u32> {
    numbers.map(|n| (n.into(), 1)).collect()
}

/// Waits until the flow has nothing left to do.
async fn wait_until_idle(weir: &Weir) {
    eventually(DEADLINE, "the flow to have handled everything", || async {
        let status = weir.get("/api/v1/weir/status").await;
        let queues = status["queues"].as_array().unwrap();
        let input = queues.iter().find(|queue| queue["topic"] == "flow:tg:in:one")?;
        (input["depth-count"] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weir_killed_at_any_moment_loses_and_duplicates_nothing() {
    let mut rng = StdRng::seed_from_u64(seed());
    let data = tempfile::tempdir().unwrap();
    let mut weir = with_echo(data.path()).await;
    for round in 0..WEIR_ROUNDS {
        import(&weir, round * BATCH..(round + 1) * BATCH).await;
        pass(Duration::from_millis(rng.random_range(0..400))).await;
        weir.kill();
        // Every other time Weir itself is the first to open what the kill left behind.
        if round % 2 == 1 {
            let (waiting, handled) = (input_at_rest(data.path()).await, exit_at_rest(data.path()).await);
            println!("killed with {} messages waiting and {} handled", waiting.len(), handled.len());
            assert_eq!(added(waiting, handled), once(0..(round + 1) * BATCH));
        }
        weir = Weir::up(data.path()).await;
    }
    wait_until_idle(&weir).await;
    assert_eq!(weir.end().await.code(), Some(0));
    assert_eq!(exit_at_rest(data.path()).await, once(0..WEIR_ROUNDS * BATCH));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_shutdown_under_load_finishes_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let weir = with_echo(data.path()).await;
    import(&weir, 0..2000).await;
    assert_eq!(weir.end().await.code(), Some(0));
    assert_eq!(added(input_at_rest(data.path()).await, exit_at_rest(data.path()).await), once(0..2000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_in_use_is_refused_and_its_user_continues() {
    let data = tempfile::tempdir().unwrap();
    let weir = Weir::up(data.path()).await;
    let refused = run(data.path(), &["up", "--listen", "127.0.0.1:0"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(73), "{said}");
    for word in [data.path().to_str().unwrap(), "in use", &weir.pid().to_string(), "--data"] {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
    weir.must(&["status"]).await;
    assert_eq!(weir.end().await.code(), Some(0));
}

/// Dead letters that are redriven while Weir is killed.
const LETTERS: u32 = 3000;

/// A Weir with a flow whose processor rejected everything, and now handles it.
async fn with_letters(data: &Path) -> Weir {
    let weir = Weir::up(data).await;
    let rejecting = data.join("reject.wasm");
    std::fs::copy(weir_tests::guest_path("reject"), &rejecting).unwrap();
    weir.must(&["deploy", "echo@0.1.0", rejecting.to_str().unwrap()]).await;
    let blueprint = json!({
        "blueprint": {},
        "flow": {"echo:{id}": {"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:out:{id}"}, "component": "echo@0.1.0"}},
        "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}},
    });
    let file = data.join("blueprint.json");
    std::fs::write(&file, blueprint.to_string()).unwrap();
    weir.must(&["blueprint", "put", "echoing", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "echoing", "one"]).await;
    let lines: String = (0..LETTERS).map(|n| format!("{{\"reject\": \"not yet\", \"number\": {n}}}\n")).collect();
    let answer = weir.post_text("/api/v1/weir/flows/one/interfaces/in/messages", "application/x-ndjson", lines).await;
    assert_eq!(answer, json!({"count": LETTERS}));
    eventually(DEADLINE, "all letters", || async {
        let letters = weir.get("/api/v1/weir/dead-letters?limit=1").await;
        (letters["depth-count"] == LETTERS).then_some(())
    })
    .await;
    weir.must(&["deploy", "echo@1.0.0", weir_tests::guest_path("echo").to_str().unwrap()]).await;
    weir.must(&["swap", "one", "echo", "echo@1.0.0", "--wait"]).await;
    weir
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_redriven_while_weir_is_killed_are_neither_lost_nor_duplicated() {
    let mut rng = StdRng::seed_from_u64(seed());
    let data = tempfile::tempdir().unwrap();
    let mut weir = with_letters(data.path()).await;
    let mut cut_count = 0;
    let mut left = LETTERS as usize;
    while left > 0 {
        let mut redrive = weir.command(&["dead-letters", "redrive", "--all"]);
        let mut redrive = redrive.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // At any moment after some have been redriven.
        eventually(DEADLINE, "letters to be sent again", || async {
            let letters = weir.get("/api/v1/weir/dead-letters?limit=1").await;
            (letters["depth-count"].as_u64().unwrap() < left as u64).then_some(())
        })
        .await;
        pass(Duration::from_millis(rng.random_range(0..50))).await;
        weir.kill();
        redrive.wait().unwrap();
        let letters = numbers_at_rest(data.path(), "flow:tg:weir-dead-letters", "weir").await;
        left = letters.len();
        cut_count += usize::from(left > 0);
        println!("killed with {left} letters left");
        let sent = added(input_at_rest(data.path()).await, exit_at_rest(data.path()).await);
        assert_eq!(added(letters, sent), once(0..LETTERS));
        weir = Weir::up(data.path()).await;
    }
    assert!(cut_count > 0, "no redrive was cut off: there are too few letters for this machine");
    wait_until_idle(&weir).await;
    assert_eq!(weir.end().await.code(), Some(0));
    assert_eq!(exit_at_rest(data.path()).await, once(0..LETTERS));
}
