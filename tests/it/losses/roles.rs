//! Config service and followers, flow service, hosts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use weir_config::records::ProcessorState;
use weir_config::{Batch, Follower};
use weir_tests::wait::seed;

use super::place::{LONGEST_PAUSE, LOSSES_COUNT, Place};

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_the_configuration_arrives_over_lost_connections() {
    let place = Place::new().await;
    let seen = Arc::new(Mutex::new(String::new()));
    let writes = seen.clone();
    let follower = Follower::new(place.cutting.clone(), "tg", place.config.clone()).unwrap().on(["a"], move |change| {
        *writes.lock().unwrap() = change.get("a", "last").unwrap_or_default().to_owned();
        std::future::ready(Ok(()))
    });
    let end = CancellationToken::new();
    let following = tokio::spawn(follower.run(end.clone()));
    let cuts = place.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let mut count = 0;
    while count < 60 || place.cutting.losses_count() < LOSSES_COUNT {
        let number = count;
        count += 1;
        let batch = || Batch::new().put("a", number.to_string(), number.to_string()).put("a", "last", number.to_string());
        place.until("a put", async || place.config.apply(batch()).await.is_ok()).await;
        let read = || place.config.get_one("a", "last");
        place.until("a read", async || read().await.is_ok_and(|value| value == Some(number.to_string()))).await;
    }
    cuts.end(&place.cutting).await;
    let values = place.config.values("a").await.unwrap().value;
    assert_eq!(values.len(), count + 1);
    place.until("the follower", async || *seen.lock().unwrap() == (count - 1).to_string()).await;
    end.cancel();
    let _ = following.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_end_up_started_or_stopped_over_lost_connections() {
    let place = Place::new().await;
    place.deploy_between("echo").await;
    let _host = place.host().await;
    let cuts = place.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    for round in 0..8 {
        place.start("echo", &format!("f{round}")).await;
        if round % 2 == 1 {
            place.stop(&format!("f{round}")).await;
        }
    }
    cuts.end(&place.cutting).await;
    let running: BTreeSet<String> = [0, 2, 4, 6].map(|round| format!("f{round}")).into();
    let expected: BTreeSet<String> = running
        .iter()
        .flat_map(|id| [format!("tg.flow.in:{id}.echo--{id}--input"), format!("tg.flow.out:{id}.gateway--{id}--out")])
        .collect();
    place.until_queues_are(&expected).await;
    let flows = place.config.list("flow").await.unwrap().value;
    assert_eq!(flows.into_iter().collect::<BTreeSet<_>>(), running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_loses_no_message_over_lost_connections() {
    let place = Place::new().await;
    place.deploy_between("echo").await;
    let host = place.host().await;
    place.start("echo", "one").await;
    let cuts = place.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let mut sends = FuturesUnordered::new();
    let mut count = 0;
    while count < 1_500 || place.cutting.losses_count() < LOSSES_COUNT {
        let number = count;
        count += 1;
        sends.push(place.send("flow:tg:in:one", number.to_string()));
        if sends.len() >= 16 {
            sends.next().await;
        }
    }
    while sends.next().await.is_some() {}
    // A loss more while only the host has something to do.
    let before_count = place.cutting.losses_count();
    place.until("another loss", async || place.cutting.losses_count() > before_count).await;
    cuts.end(&place.cutting).await;
    let all: BTreeSet<u64> = (0..count).collect();
    place.until("all numbers", async || place.numbers("flow:tg:out:one", "gateway--one--out").await == all).await;
    place.until("an empty input", async || place.numbers("flow:tg:in:one", "echo--one--input").await.is_empty()).await;
    assert!(place.numbers("flow:tg:weir-dead-letters", "weir").await.is_empty());
    let running = || host.status().processors.iter().all(|status| status.state == ProcessorState::Running);
    place.until("a host that runs", async || running()).await;
    place.stop("one").await;
    host.stop(Duration::from_secs(20)).await;
}
