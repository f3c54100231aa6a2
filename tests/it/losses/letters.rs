//! Dead letters: made, listed, sent again and deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::wait::seed;

use super::gateway::Gateway;
use super::place::{LONGEST_PAUSE, LOSSES_COUNT, Place};

const INPUT: (&str, &str) = ("flow:tg:in:one", "reject--one--input");
const LETTERS: (&str, &str) = ("flow:tg:weir-dead-letters", "weir");
const COUNT: u64 = 60;

/// The numbers in the messages of a queue.
async fn numbers(place: &Place, queue: (&str, &str)) -> BTreeSet<u64> {
    let bodies = place.bodies(queue.0, queue.1).await;
    bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap()["n"].as_u64().unwrap()).collect()
}

/// The ids of all letters, as the gateway lists them.
async fn ids(place: &Place, gateway: &Gateway) -> Vec<String> {
    let listed = place.until_some("the letters", async || gateway.get("/api/v1/weir/dead-letters?limit=1000").await).await;
    listed["letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
}

/// A flow whose messages are all dead letters.
async fn rejected() -> (Place, Gateway) {
    let place = Place::new().await;
    place.deploy_between("reject").await;
    place.start("reject", "one").await;
    let gateway = Gateway::over(&place).await;
    let host = place.host().await;
    let cuts = place.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    for n in 0..COUNT {
        place.send(INPUT.0, json!({"reject": "not good", "n": n}).to_string()).await;
    }
    place.until("the letters", async || numbers(&place, LETTERS).await.len() as u64 == COUNT).await;
    cuts.end(&place.cutting).await;
    place.until("an empty input", async || place.depth(INPUT.0, INPUT.1).await == 0).await;
    host.stop(Duration::from_secs(20)).await;
    (place, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_sent_again_over_lost_connections() {
    let (place, gateway) = rejected().await;
    let all: BTreeSet<u64> = (0..COUNT).collect();
    let cuts = place.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let begun_count = place.cutting.losses_count();
    let mut left = ids(&place, &gateway).await;
    while !left.is_empty() || place.cutting.losses_count() < begun_count + LOSSES_COUNT {
        // Some at a time, so that there is something to lose for a while.
        if !left.is_empty() {
            let order = json!({"ids": &left[..left.len().min(3)]});
            let _ = gateway.post("/api/v1/weir/dead-letters/redrive", &order).await;
        }
        let both: BTreeSet<u64> = &numbers(&place, LETTERS).await | &numbers(&place, INPUT).await;
        assert_eq!(both, all, "each is in one of the queues at any time");
        left = ids(&place, &gateway).await;
    }
    cuts.end(&place.cutting).await;
    assert_eq!((numbers(&place, INPUT).await, place.depth(LETTERS.0, LETTERS.1).await), (all, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_chosen_dead_letters_are_deleted_over_lost_connections() {
    let (place, gateway) = rejected().await;
    let bodies = place.bodies(LETTERS.0, LETTERS.1).await;
    let listed = ids(&place, &gateway).await;
    assert_eq!(bodies.len(), listed.len());
    let chosen: Vec<&String> = listed.iter().step_by(2).collect();
    let kept: BTreeSet<&String> = listed.iter().filter(|id| !chosen.contains(id)).collect();
    let cuts = place.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let begun_count = place.cutting.losses_count();
    let mut left = chosen.clone();
    while !left.is_empty() || place.cutting.losses_count() < begun_count + LOSSES_COUNT {
        if !left.is_empty() {
            let _ = gateway.post("/api/v1/weir/dead-letters/delete", &json!({"ids": &left[..left.len().min(3)]})).await;
        }
        let found: BTreeSet<String> = ids(&place, &gateway).await.into_iter().collect();
        assert!(kept.iter().all(|id| found.contains(*id)), "one that was not chosen is gone");
        left.retain(|id| found.contains(*id));
    }
    cuts.end(&place.cutting).await;
    assert_eq!(ids(&place, &gateway).await.iter().collect::<BTreeSet<_>>(), kept);
}
