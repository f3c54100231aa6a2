//! Dead letters: created, listed, redriven and deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::wait::seed;

use super::fixture::{LONGEST_PAUSE, LOSSES_COUNT, WeirFixture};
use super::gateway::Gateway;

const INPUT: (&str, &str) = ("flow:tg:in:one", "reject--one--input");
const LETTERS: (&str, &str) = ("flow:tg:weir-dead-letters", "weir");
const COUNT: u64 = 60;

/// The numbers in the messages of a queue.
async fn numbers(fixture: &WeirFixture, queue: (&str, &str)) -> BTreeSet<u64> {
    let bodies = fixture.bodies(queue.0, queue.1).await;
    bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap()["n"].as_u64().unwrap()).collect()
}

/// The ids of all dead letters, as listed by the gateway.
async fn ids(fixture: &WeirFixture, gateway: &Gateway) -> Vec<String> {
    let listed = fixture.until_some("the letters", async || gateway.get("/api/v1/weir/dead-letters?limit=1000").await).await;
    listed["letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

/// A flow whose messages all become dead letters.
async fn rejected() -> (WeirFixture, Gateway) {
    let fixture = WeirFixture::new().await;
    fixture.deploy_between("reject").await;
    fixture.start("reject", "one").await;
    let gateway = Gateway::over(&fixture).await;
    let host = fixture.host().await;
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    for n in 0..COUNT {
        fixture.send(INPUT.0, json!({"reject": "not good", "n": n}).to_string()).await;
    }
    fixture.until("the letters", async || numbers(&fixture, LETTERS).await.len() as u64 == COUNT).await;
    cuts.end(&fixture.cutting).await;
    fixture.until("an empty input", async || fixture.depth(INPUT.0, INPUT.1).await == 0).await;
    host.stop(Duration::from_secs(20)).await;
    (fixture, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_redriven_across_lost_connections() {
    let (fixture, gateway) = rejected().await;
    let all: BTreeSet<u64> = (0..COUNT).collect();
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let begun_count = fixture.cutting.losses_count();
    let mut left = ids(&fixture, &gateway).await;
    while !left.is_empty() || fixture.cutting.losses_count() < begun_count + LOSSES_COUNT {
        // A few at a time, so that there is something to lose for a while.
        if !left.is_empty() {
            let order = json!({"ids": &left[..left.len().min(3)]});
            let _ = gateway.post("/api/v1/weir/dead-letters/redrive", &order).await;
        }
        let both: BTreeSet<u64> = &numbers(&fixture, LETTERS).await | &numbers(&fixture, INPUT).await;
        assert_eq!(both, all, "each is in one of the queues at any time");
        left = ids(&fixture, &gateway).await;
    }
    cuts.end(&fixture.cutting).await;
    assert_eq!((numbers(&fixture, INPUT).await, fixture.depth(LETTERS.0, LETTERS.1).await), (all, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_selected_dead_letters_are_deleted_across_lost_connections() {
    let (fixture, gateway) = rejected().await;
    let bodies = fixture.bodies(LETTERS.0, LETTERS.1).await;
    let listed = ids(&fixture, &gateway).await;
    assert_eq!(bodies.len(), listed.len());
    let chosen: Vec<&String> = listed.iter().step_by(2).collect();
    let kept: BTreeSet<&String> = listed.iter().filter(|id| !chosen.contains(id)).collect();
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let begun_count = fixture.cutting.losses_count();
    let mut left = chosen.clone();
    while !left.is_empty() || fixture.cutting.losses_count() < begun_count + LOSSES_COUNT {
        if !left.is_empty() {
            let _ = gateway.post("/api/v1/weir/dead-letters/delete", &json!({"ids": &left[..left.len().min(3)]})).await;
        }
        let found: BTreeSet<String> = ids(&fixture, &gateway).await.into_iter().collect();
        assert!(kept.iter().all(|id| found.contains(*id)), "one that was not chosen is gone");
        left.retain(|id| found.contains(*id));
    }
    cuts.end(&fixture.cutting).await;
    assert_eq!(ids(&fixture, &gateway).await.iter().collect::<BTreeSet<_>>(), kept);
}
