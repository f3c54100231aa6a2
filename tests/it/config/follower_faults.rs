//! The follower when something is missing: answers, notifications, the service, the subscription.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;
use weir_config::{Batch, Change, ConfigService, Content, Follower};

use super::fake::{Fake, Instead, notify, notify_keys};
use super::faulty::{Fault, Faulty};
use super::support::{ConfigFixture, Handled, recorder, run, within_deadline};

type Types = BTreeMap<String, Arc<Content>>;
type Kept = Arc<Mutex<Types>>;

#[tokio::test]
async fn start_up_retries_until_the_service_is_available() {
    let fixture = ConfigFixture::new();
    let (mut seen, handler) = recorder();
    let running = run(fixture.follower().await.on(["a"], handler));
    let mut status = running.handle.status();
    let told = within_deadline(status.wait_for(|status| status.fetch_error.is_some())).await.unwrap().clone();
    assert_eq!(told.version, 0);
    let _service = fixture.service().await;
    seen.next().await;
    let told = within_deadline(status.wait_for(|status| status.version > 0 && status.fetch_error.is_none())).await.unwrap().clone();
    assert!(told.handler_errors.is_empty());
}

#[tokio::test]
async fn a_failed_fetch_is_retried_and_loses_no_change() {
    let fixture = ConfigFixture::new();
    for failure in [Instead::Fail, Instead::Silence, Instead::Nonsense] {
        let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5")]).await;
        let (mut seen, handler) = recorder();
        let follower = Follower::new(fixture.backend.clone(), "tg", fixture.hasty_client().await).unwrap();
        let running = run(follower.on(["a"], handler));
        seen.next().await;
        running.reaches(5).await;
        fake.requests();
        fake.instead(failure);
        fake.set(6, "a", "k", "a6");
        fake.notify(notify_keys(6, &[("a", &["k"])])).await;
        let mut status = running.handle.status();
        let failed = within_deadline(status.wait_for(|status| status.fetch_error.is_some())).await.unwrap().clone();
        assert_eq!(failed.version, 5, "the version moves only after the apply");
        let change = seen.until("a", "k", Some("a6")).await;
        assert_eq!(change.version, 6);
        running.reaches(6).await;
        within_deadline(status.wait_for(|status| status.fetch_error.is_none())).await.unwrap();
        assert!(fake.requests().len() >= 2);
    }
}

#[tokio::test]
async fn a_notify_that_arrives_while_a_fetch_fails_is_not_lost() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5")]).await;
    let (mut seen, handler) = recorder();
    let running = run(fixture.follower().await.on(["a", "b"], handler));
    seen.next().await;
    running.reaches(5).await;
    for _ in 0..3 {
        fake.instead(Instead::Fail);
    }
    fake.set(6, "a", "k", "a6");
    fake.notify(notify(6, &["a"])).await;
    fake.set(7, "b", "k", "b7");
    fake.notify(notify(7, &["b"])).await;
    let change = seen.until("b", "k", Some("b7")).await;
    assert_eq!(change.get("a", "k"), Some("a6"));
    running.reaches(7).await;
}

#[tokio::test]
async fn after_a_gap_all_types_of_all_handlers_are_fetched() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5")]).await;
    let ((mut a, on_a), (mut b, on_b)) = (recorder(), recorder());
    let running = run(fixture.follower().await.on(["a"], on_a).on(["b"], on_b));
    a.next().await;
    b.next().await;
    running.reaches(5).await;
    fake.requests();
    // No notification is sent for version 6.
    fake.set(6, "b", "k", "b6");
    fake.set(7, "a", "k", "a7");
    fake.notify(notify_keys(7, &[("a", &["k"])])).await;
    running.reaches(7).await;
    assert_eq!(a.next().await.get("a", "k"), Some("a7"));
    assert_eq!(b.next().await.get("b", "k"), Some("b6"));
    assert_eq!(fake.requests(), ["getvalues a", "getvalues b"]);
}

#[tokio::test]
async fn after_missed_notifies_all_types_of_all_handlers_are_fetched() {
    for fault in [Fault::NotifiesLagged, Fault::NotifiesCut] {
        let fixture = ConfigFixture::new();
        let faulty = Faulty::over(fixture.backend.clone());
        let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5")]).await;
        let ((mut a, on_a), (mut b, on_b)) = (recorder(), recorder());
        let follower = Follower::new(faulty.clone(), "tg", fixture.client().await).unwrap();
        let running = run(follower.on(["a"], on_a).on(["b"], on_b));
        a.next().await;
        b.next().await;
        running.reaches(5).await;
        fake.set(6, "b", "k", "b6");
        faulty.fault(fault);
        running.reaches(6).await;
        assert_eq!(a.next().await.version, 6, "{fault:?}");
        assert_eq!(b.next().await.get("b", "k"), Some("b6"));
        // It is subscribed again.
        fake.set(7, "a", "k", "a7");
        fake.notify(notify(7, &["a"])).await;
        assert_eq!(a.next().await.get("a", "k"), Some("a7"));
    }
}

#[tokio::test]
async fn a_lower_version_in_an_answer_makes_it_fetch_everything() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5")]).await;
    let ((mut a, on_a), (mut b, on_b)) = (recorder(), recorder());
    let running = run(fixture.follower().await.on(["a"], on_a).on(["b"], on_b));
    a.next().await;
    b.next().await;
    running.reaches(5).await;
    fake.requests();
    // A service whose store was rolled back: it announces 6 and answers 3.
    fake.set(3, "a", "k", "a3");
    fake.set(3, "b", "k", "b3");
    fake.notify(notify(6, &["a"])).await;
    running.reaches(3).await;
    assert_eq!(a.next().await.get("a", "k"), Some("a3"));
    assert_eq!(b.next().await.get("b", "k"), Some("b3"));
    assert_eq!(fake.requests(), ["getvalues a", "getvalues a", "getvalues b"]);
}

#[tokio::test]
async fn a_fetch_of_several_types_counts_as_its_lowest_version() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 9, &[("a", "k", "a"), ("b", "k", "b9")]).await;
    fake.instead(Instead::Version(9));
    fake.instead(Instead::Version(7));
    let (mut seen, handler) = recorder();
    let running = run(fixture.follower().await.on(["a", "b"], handler));
    assert_eq!(seen.next().await.version, 7);
    running.reaches(7).await;
    fake.requests();
    // A type known at a later version is not fetched again, the other is.
    fake.notify(notify(8, &["a", "b"])).await;
    fake.notify(notify(9, &["a"])).await;
    running.reaches(9).await;
    assert_eq!(fake.requests(), ["getvalues b"]);
}

#[tokio::test]
async fn the_version_is_polled_too() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5")]).await;
    let (mut seen, handler) = recorder();
    let running = run(fixture.follower().await.poll_every(Duration::from_millis(20)).on(["a"], handler));
    seen.next().await;
    // A change without a notification, then a store that was rolled back.
    fake.set(6, "a", "k", "a6");
    assert_eq!(seen.until("a", "k", Some("a6")).await.version, 6);
    running.reaches(6).await;
    fake.set(2, "a", "k", "a2");
    assert_eq!(seen.until("a", "k", Some("a2")).await.version, 2);
    running.reaches(2).await;
    assert!(fake.requests().contains(&"get".to_owned()));
}

#[tokio::test]
async fn a_service_on_another_store_with_a_lower_version_is_followed_at_once() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5")]).await;
    let (mut seen, handler) = recorder();
    let running = run(fixture.follower().await.on(["a"], handler));
    seen.next().await;
    running.reaches(5).await;
    fake.set(2, "a", "k", "a2");
    // The notification that a service sends at its start.
    fake.notify(notify(2, &[])).await;
    assert_eq!(seen.until("a", "k", Some("a2")).await.version, 2);
    running.reaches(2).await;
}

#[tokio::test]
async fn unreadable_notifies_stop_nothing() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5")]).await;
    let (mut seen, handler) = recorder();
    let running = run(fixture.follower().await.on(["a"], handler));
    seen.next().await;
    running.reaches(5).await;
    for body in ["nonsense", "[]", r#"{"version": 6, "types": null}"#, r#"{"version": -1}"#, r#"{"version": 18446744073709551615}"#] {
        fake.notify_raw(body).await;
    }
    fake.set(6, "a", "k", "a6");
    fake.notify(notify(6, &["a"])).await;
    seen.until("a", "k", Some("a6")).await;
    running.reaches(6).await;
}

#[tokio::test]
async fn a_restart_of_the_real_service_is_followed() {
    let fixture = ConfigFixture::new();
    let service = fixture.service().await;
    fixture.client().await.apply(Batch::new().put("a", "k", "1")).await.unwrap();
    let (mut seen, handler) = recorder();
    let running = run(fixture.follower().await.on(["a"], handler));
    let first = seen.next().await;
    service.stop().await;
    let store = fixture.store().await;
    let version = store.version().await.unwrap();
    let service = ConfigService::start(fixture.backend.clone(), "tg", store).await.unwrap();
    running.reaches(version).await;
    assert!(version > first.version);
    assert_eq!(seen.until("a", "k", Some("1")).await.version, version);
    service.stop().await;
}

#[tokio::test]
async fn a_cancelled_follower_ends_while_waiting_for_the_service() {
    let fixture = ConfigFixture::new();
    let token = CancellationToken::new();
    let follower = fixture.follower().await;
    let mut status = follower.handle().status();
    let task = tokio::spawn(follower.run(token.clone()));
    within_deadline(status.wait_for(|status| status.fetch_error.is_some())).await.unwrap();
    token.cancel();
    within_deadline(task).await.unwrap();
}

/// Keeps the newest content that a handler was called with.
fn keeper() -> (Kept, impl Fn(Change) -> Handled + Send + Sync + 'static) {
    let kept = Kept::default();
    let keep = kept.clone();
    let handler = move |change: Change| {
        *keep.lock().unwrap() = change.types;
        std::future::ready(Ok(()))
    };
    (kept, handler)
}

#[tokio::test]
async fn random_changes_and_faults_leave_handlers_consistent_with_the_service() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let fixture = ConfigFixture::new();
    let faulty = Faulty::over(fixture.backend.clone());
    let _service = fixture.service().await;
    let client = fixture.client().await;
    let ((a, on_a), (bc, on_bc), (all, on_all), (late, on_late)) = (keeper(), keeper(), keeper(), keeper());
    let follower = Follower::new(faulty.clone(), "tg", client.clone()).unwrap();
    let running = run(follower.on(["a"], on_a).on(["b", "c"], on_bc).on_everything(on_all));
    let mut on_late = Some(on_late);
    for _ in 0..150 {
        let mut batch = Batch::new();
        for _ in 0..rng.random_range(1..4) {
            let (config_type, key) = (["a", "b", "c", "d"][rng.random_range(0..4)], rng.random_range(0..5).to_string());
            let mut used = batch.put.iter().map(|v| (&v.config_type, &v.key)).chain(batch.delete.iter().map(|k| (&k.config_type, &k.key)));
            if used.any(|(t, k)| t == config_type && *k == key) {
                continue;
            }
            drop(used);
            let value = rng.random::<u8>().to_string();
            batch = if rng.random_bool(0.6) { batch.put(config_type, key, value) } else { batch.delete(config_type, key) };
        }
        client.apply(batch).await.unwrap();
        match rng.random_range(0..20) {
            0 => faulty.fault(Fault::NotifiesLagged),
            1 => faulty.fault(Fault::NotifiesCut),
            2 => drop(on_late.take().map(|handler| running.handle.register(["d", "b"], handler))),
            _ => {}
        }
    }
    let everything = client.everything().await.unwrap();
    running.reaches(everything.version).await;
    let of = |types: &[&str]| -> Types {
        types.iter().map(|name| ((*name).to_owned(), Arc::new(everything.value.get(*name).cloned().unwrap_or_default()))).collect()
    };
    assert_eq!(*a.lock().unwrap(), of(&["a"]));
    assert_eq!(*bc.lock().unwrap(), of(&["b", "c"]));
    let with_values: Vec<&str> = everything.value.keys().map(String::as_str).collect();
    assert_eq!(*all.lock().unwrap(), of(&with_values));
    if on_late.is_none() {
        within_deadline(async {
            while *late.lock().unwrap() != of(&["b", "d"]) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
