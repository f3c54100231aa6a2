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

use super::fixture::{LONGEST_PAUSE, LOSSES_COUNT, WeirFixture};

#[tokio::test(flavor = "multi_thread")]
async fn every_configuration_change_arrives_across_lost_connections() {
    let fixture = WeirFixture::new().await;
    let seen = Arc::new(Mutex::new(String::new()));
    let writes = seen.clone();
    let follower = Follower::new(fixture.cutting.clone(), "tg", fixture.config.clone()).unwrap().on(["a"], move |change| {
        *writes.lock().unwrap() = change.get("a", "last").unwrap_or_default().to_owned();
        std::future::ready(Ok(()))
    });
    let end = CancellationToken::new();
    let following = tokio::spawn(follower.run(end.clone()));
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let mut count = 0;
    while count < 60 || fixture.cutting.losses_count() < LOSSES_COUNT {
        let number = count;
        count += 1;
        let batch = || Batch::new().put("a", number.to_string(), number.to_string()).put("a", "last", number.to_string());
        fixture.until("a put", async || fixture.config.apply(batch()).await.is_ok()).await;
        let read = || fixture.config.get_one("a", "last");
        fixture.until("a read", async || read().await.is_ok_and(|value| value == Some(number.to_string()))).await;
    }
    cuts.end(&fixture.cutting).await;
    let values = fixture.config.values("a").await.unwrap().value;
    assert_eq!(values.len(), count + 1);
    fixture.until("the follower", async || *seen.lock().unwrap() == (count - 1).to_string()).await;
    end.cancel();
    let _ = following.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_end_up_started_or_stopped_across_lost_connections() {
    let fixture = WeirFixture::new().await;
    fixture.deploy_between("echo").await;
    let _host = fixture.host().await;
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    for round in 0..8 {
        fixture.start("echo", &format!("f{round}")).await;
        if round % 2 == 1 {
            fixture.stop(&format!("f{round}")).await;
        }
    }
    cuts.end(&fixture.cutting).await;
    let running: BTreeSet<String> = [0, 2, 4, 6].map(|round| format!("f{round}")).into();
    let expected: BTreeSet<String> = running
        .iter()
        .flat_map(|id| [format!("tg.flow.in:{id}.echo--{id}--input"), format!("tg.flow.out:{id}.gateway--{id}--out")])
        .collect();
    fixture.until_queues_are(&expected).await;
    let flows = fixture.config.list("flow").await.unwrap().value;
    assert_eq!(flows.into_iter().collect::<BTreeSet<_>>(), running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_loses_no_message_across_lost_connections() {
    let fixture = WeirFixture::new().await;
    fixture.deploy_between("echo").await;
    let host = fixture.host().await;
    fixture.start("echo", "one").await;
    let cuts = fixture.cutting.keep_cutting(seed(), LONGEST_PAUSE);
    let mut sends = FuturesUnordered::new();
    let mut count = 0;
    while count < 1_500 || fixture.cutting.losses_count() < LOSSES_COUNT {
        let number = count;
        count += 1;
        sends.push(fixture.send("flow:tg:in:one", number.to_string()));
        if sends.len() >= 16 {
            sends.next().await;
        }
    }
    while sends.next().await.is_some() {}
    // One more loss while only the host has work to do.
    let before_count = fixture.cutting.losses_count();
    fixture.until("another loss", async || fixture.cutting.losses_count() > before_count).await;
    cuts.end(&fixture.cutting).await;
    let all: BTreeSet<u64> = (0..count).collect();
    fixture.until("all numbers", async || fixture.numbers("flow:tg:out:one", "gateway--one--out").await == all).await;
    fixture.until("an empty input", async || fixture.numbers("flow:tg:in:one", "echo--one--input").await.is_empty()).await;
    assert!(fixture.numbers("flow:tg:weir-dead-letters", "weir").await.is_empty());
    let running = || host.status().processors.iter().all(|status| status.state == ProcessorState::Running);
    fixture.until("a host that runs", async || running()).await;
    fixture.stop("one").await;
    host.stop(Duration::from_secs(20)).await;
}
