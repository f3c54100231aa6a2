//! A disk that fills up under the store, and is freed.

use weir_config::protocol::Key;
use weir_config::{Batch, ConfigError, ConfigService, Store};
use weir_tests::disk::SmallDisk;

use super::support::{ConfigFixture, within_deadline};

const ALL: usize = usize::MAX;

fn key(name: &str) -> Key {
    Key { config_type: "t".to_owned(), key: name.to_owned() }
}

/// Writes until the disk is full; returns how many were stored, and the error of the next one.
async fn put_until_full(store: &Store, prefix: &str) -> (usize, ConfigError) {
    for number in 0..1_000 {
        if let Err(error) = within_deadline(store.apply(&Batch::new().put("t", format!("{prefix}{number}"), "x".repeat(32 << 10)))).await {
            return (number, error);
        }
    }
    panic!("the disk is not full")
}

#[tokio::test]
async fn a_store_continues_as_soon_as_disk_space_is_freed() {
    let disk = SmallDisk::new(2 << 10);
    let store = Store::open(&disk.path().join("config.sqlite")).await.unwrap();
    // Each round fills it at another point of the transaction, and no failure may leave anything behind.
    for round in 0..8 {
        let prefix = format!("{round}-");
        disk.fill();
        let before = store.version().await.unwrap();
        let (stored_count, error) = put_until_full(&store, &prefix).await;
        let text = weir_pubsub::chain(&error);
        assert!(matches!(error, ConfigError::StoreFailed { .. }) && text.contains(weir_config::DISK_FULL), "{text}");
        assert!(!text.contains("code: 13"), "{text}");
        for _ in 0..3 {
            assert!(within_deadline(store.apply(&Batch::new().put("t", "more", "x".repeat(64 << 10)))).await.is_err());
            assert_eq!(within_deadline(store.version()).await.unwrap(), before + stored_count as u64);
        }
        let values = within_deadline(store.get(&[key("more"), key(&format!("{prefix}0"))], ALL)).await.unwrap().value;
        assert_eq!((values[0].value.is_some(), values[1].value.is_some()), (false, stored_count > 0));
        disk.free();
        within_deadline(store.apply(&Batch::new().put("t", format!("{prefix}last"), "x"))).await.unwrap();
        assert_eq!(store.version().await.unwrap(), before + stored_count as u64 + 1);
        let mut delete = Batch::new();
        for number in 0..stored_count {
            delete = delete.delete("t", format!("{prefix}{number}"));
        }
        store.apply(&delete).await.unwrap();
    }
    assert_eq!(store.list("t", ALL).await.unwrap().value.len(), 8);
    store.close().await;
    let again = Store::open(&disk.path().join("config.sqlite")).await.unwrap();
    assert_eq!(again.list("t", ALL).await.unwrap().value.len(), 8);
}

#[tokio::test]
async fn the_service_reports_a_full_disk_and_continues_when_it_is_freed() {
    let disk = SmallDisk::new(2 << 10);
    let fixture = ConfigFixture::new();
    let notifies = fixture.notifies().await;
    let store = Store::open(&disk.path().join("config.sqlite")).await.unwrap();
    let service = ConfigService::start(fixture.backend.clone(), "tg", store).await.unwrap();
    let started = notifies.next().await.version;
    let (client, raw) = (fixture.client().await, fixture.raw().await);
    disk.fill();
    let put = format!(r#"{{"operation": "put", "values": [{{"type": "t", "key": "k", "value": "{}"}}]}}"#, "x".repeat(1 << 20));
    for _ in 0..5 {
        let (kind, message) = raw.error(&put).await;
        assert!(kind == "config-error" && message.contains("full"), "{kind}: {message}");
        assert_eq!(client.version().await.unwrap(), started);
        assert_eq!(client.get_one("t", "k").await.unwrap(), None);
    }
    assert!(notifies.now().is_none(), "what did not commit was notified");
    disk.free();
    client.apply(Batch::new().put("t", "k", "v")).await.unwrap();
    assert_eq!(client.version().await.unwrap(), started + 1);
    assert_eq!(notifies.next().await.version, started + 1);
    assert_eq!(client.get_one("t", "k").await.unwrap().as_deref(), Some("v"));
    service.stop().await;
}

#[tokio::test]
async fn a_store_on_a_full_disk_can_be_opened_once_it_is_freed() {
    let disk = SmallDisk::new(1 << 10);
    let path = disk.path().join("config.sqlite");
    let store = Store::open(&path).await.unwrap();
    store.apply(&Batch::new().put("t", "k", "v")).await.unwrap();
    let version = store.version().await.unwrap();
    store.close().await;
    disk.fill();
    if let Err(error) = within_deadline(Store::open(&path)).await {
        let text = weir_pubsub::chain(&error);
        assert!(text.contains("full") || text.contains("disk I/O error"), "{text}");
    }
    disk.free();
    let store = Store::open(&path).await.unwrap();
    assert!(store.version().await.unwrap() > version);
    assert_eq!(store.get(&[key("k")], ALL).await.unwrap().value[0].value.as_deref(), Some("v"));
}
