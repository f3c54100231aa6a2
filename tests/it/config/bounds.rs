//! The size of everything is limited, so that everything can be read at once.

use weir_config::protocol::{ConfigLimit, Key};
use weir_config::{Batch, ConfigError, Store};
use weir_pubsub::Limits;

use super::support::{ConfigFixture, recorder, run, within_deadline};

const MIB: usize = 1 << 20;

/// A broker whose answers have at most 4 MiB.
fn small() -> ConfigFixture {
    ConfigFixture::with_limits(Limits { max_answer_bytes: 4 * MIB, ..Limits::default() })
}

/// Values that must be escaped in JSON, so that the limit must count the size in the answer.
fn text(bytes: usize) -> String {
    "\"\u{1}xxxxxx".repeat(bytes / 14)
}

async fn fill(client: &weir_config::ConfigClient) -> (usize, String) {
    for at in 0..100 {
        if let Err(error) = within_deadline(client.apply(Batch::new().put(format!("t{}", at % 3), at.to_string(), text(MIB / 2)))).await {
            return (at, error.to_string());
        }
    }
    panic!("there is no bound")
}

#[tokio::test]
async fn a_put_beyond_the_limit_is_refused_and_everything_stays_readable() {
    let fixture = small();
    let service = fixture.service().await;
    let client = fixture.client().await;
    let (count, message) = fill(&client).await;
    assert!((6..8).contains(&count), "{count} values");
    for words in ["the whole configuration would have", "bytes; the limit is", "broker.max-answer", "weir config list"] {
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(client.everything().await.unwrap().value.values().map(|keys| keys.len()).sum::<usize>(), count);
    let (types, usage) = client.types().await.unwrap();
    let usage = usage.unwrap();
    assert_eq!((types.value, usage.limit_bytes), (vec!["t0".to_owned(), "t1".to_owned(), "t2".to_owned()], 4 * MIB as u64));
    assert!(usage.size_bytes > 3 * MIB as u64 && usage.size_bytes < 4 * MIB as u64, "{usage:?}");
    // Changes that make it smaller, or no larger, succeed.
    client.apply(Batch::new().put("t0", "0", text(MIB / 4))).await.unwrap();
    client.apply(Batch::new().put("t0", "0", text(MIB / 2))).await.unwrap();
    client.apply(Batch::new().put("new", "0", text(MIB / 2)).delete("t1", "1")).await.unwrap();
    client.apply(Batch::new().delete("t2", "2")).await.unwrap();
    client.apply(Batch::new().put("t2", "2", text(MIB / 2))).await.unwrap();
    assert!(client.apply(Batch::new().put("t2", "more", text(MIB / 2))).await.is_err());
    let usage = client.types().await.unwrap().1;
    service.stop().await;
    // The size is known again after a restart.
    let service = fixture.service().await;
    assert!(client.apply(Batch::new().put("t2", "more", text(MIB / 2))).await.is_err());
    assert_eq!(client.types().await.unwrap().1, usage);
    service.stop().await;
}

#[tokio::test]
async fn the_limit_is_at_most_64_mib() {
    let fixture = ConfigFixture::with_limits(Limits { max_answer_bytes: 256 * MIB, ..Limits::default() });
    let service = fixture.service().await;
    assert_eq!(fixture.client().await.types().await.unwrap().1.unwrap().limit_bytes, 64 * MIB as u64);
    service.stop().await;
}

#[tokio::test]
async fn the_reserve_is_for_finishing_or_undoing_operations() {
    let fixture = small();
    let service = fixture.service().await;
    let client = fixture.client().await;
    fill(&client).await;
    let small = |at: usize| Batch::new().put("small", at.to_string(), "x".repeat(4 << 10));
    let mut at = 0;
    while client.apply(small(at)).await.is_ok() {
        at += 1;
    }
    client.apply(small(at).with_reserve()).await.unwrap();
    let usage = client.types().await.unwrap().1.unwrap();
    assert!(usage.size_bytes <= usage.limit_bytes, "{usage:?}");
    client.everything().await.unwrap();
    service.stop().await;
}

/// A store of an earlier version, or of another service, may exceed it.
async fn beyond(fixture: &ConfigFixture) -> Store {
    let store = fixture.store().await;
    for at in 0..16 {
        store.apply(&Batch::new().put("large", at.to_string(), "x".repeat(MIB / 2))).await.unwrap();
    }
    store.apply(&Batch::new().put("t", "k", "v")).await.unwrap();
    store
}

#[tokio::test]
async fn an_oversized_configuration_is_read_in_parts_and_can_shrink() {
    let fixture = small();
    beyond(&fixture).await.close().await;
    let service = fixture.service().await;
    let client = fixture.client().await;
    let error = client.everything().await.unwrap_err();
    assert!(error.to_string().contains("request fewer types or keys"), "{error}");
    let values = client.values("large").await.unwrap();
    assert_eq!((values.value.len(), values.version), (16, client.version().await.unwrap()));
    let keys = (0..20).map(|at| Key { config_type: "large".into(), key: at.to_string() }).collect();
    assert_eq!(client.get_in_portions(keys).await.unwrap().value.len(), 16);
    let refused = client.apply(Batch::new().put("t", "more", "v")).await.unwrap_err();
    assert!(matches!(refused, ConfigError::Answered { exceeded: Some(ConfigLimit::Configuration), .. }), "{refused:?}");
    client.apply(Batch::new().put("t", "k", "w")).await.unwrap();
    let delete = (0..12).fold(Batch::new(), |batch, at| batch.delete("large", at.to_string()));
    client.apply(delete).await.unwrap();
    client.apply(Batch::new().put("t", "more", "v")).await.unwrap();
    client.everything().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_follower_of_types_works_beyond_the_limit() {
    let fixture = small();
    beyond(&fixture).await.close().await;
    let service = fixture.service().await;
    let (mut seen, handler) = recorder();
    let _running = run(fixture.follower().await.on(["large", "t"], handler));
    let change = seen.until("t", "k", Some("v")).await;
    assert_eq!(change.types["large"].len(), 16);
    service.stop().await;
}
