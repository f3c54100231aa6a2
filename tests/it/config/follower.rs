//! The follower's rules: what it skips, what it fetches, which handlers it calls.

use std::collections::BTreeMap;

use weir_config::{Batch, Follower};

use super::fake::{Fake, Instead, notify, notify_keys};
use super::support::{ConfigFixture, recorder, run};

/// A follower of `a` at version 5 of a scripted service, which has `a`, `b` and `c`.
async fn at_five(fixture: &ConfigFixture) -> (Fake, Follower) {
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5"), ("c", "k", "c5")]).await;
    (fake, fixture.follower().await)
}

#[tokio::test]
async fn a_host_started_after_the_last_change_has_the_configuration_without_any_notify() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    client.apply(Batch::new().put("a", "k", "v")).await.unwrap();
    let version = client.version().await.unwrap();
    let (mut seen, handler) = recorder();
    let running = run(fixture.follower().await.on(["a"], handler));
    let change = seen.next().await;
    assert_eq!((change.version, change.get("a", "k")), (version, Some("v")));
    running.reaches(version).await;
}

#[tokio::test]
async fn start_up_applies_to_all_handlers() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    let ((mut a, on_a), (mut bc, on_bc), (mut none, on_none), (mut all, on_all)) = (recorder(), recorder(), recorder(), recorder());
    let running = run(follower.on(["a"], on_a).on(["b", "c"], on_bc).on(["none"], on_none).on_everything(on_all));
    running.reaches(5).await;
    assert_eq!(a.next().await.types.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(bc.next().await.types.keys().collect::<Vec<_>>(), ["b", "c"]);
    let empty = none.next().await;
    assert!(empty.types["none"].is_empty() && empty.types.len() == 1);
    assert_eq!(all.next().await.types.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(fake.requests(), ["config"]);
    for seen in [&mut a, &mut bc, &mut none, &mut all] {
        assert_eq!(seen.now(), None);
    }
}

#[tokio::test]
async fn a_relevant_type_triggers_a_fetch_of_it() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    let (mut seen, handler) = recorder();
    let running = run(follower.on(["a", "b"], handler));
    seen.next().await;
    assert_eq!(fake.requests(), ["getvalues a", "getvalues b"]);
    fake.set(6, "a", "k", "a6");
    fake.notify(notify(6, &["a"])).await;
    let change = seen.next().await;
    assert_eq!((change.version, change.get("a", "k"), change.get("b", "k")), (6, Some("a6"), Some("b5")));
    running.reaches(6).await;
    assert_eq!(fake.requests(), ["getvalues a"]);
}

#[tokio::test]
async fn an_old_or_same_version_is_skipped_also_with_empty_types() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    let (mut seen, handler) = recorder();
    let running = run(follower.on(["a"], handler));
    seen.next().await;
    running.reaches(5).await;
    fake.requests();
    for skipped in [notify(5, &["a"]), notify(4, &["a"]), notify(5, &[]), notify_keys(5, &[("a", &["k"])])] {
        fake.notify(skipped).await;
    }
    fake.set(6, "a", "k", "a6");
    fake.notify(notify(6, &["a"])).await;
    assert_eq!(seen.next().await.get("a", "k"), Some("a6"));
    assert_eq!(fake.requests(), ["getvalues a"]);
    assert_eq!(seen.now(), None);
}

#[tokio::test]
async fn irrelevant_types_are_skipped_but_the_version_advances() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    let (mut seen, handler) = recorder();
    let running = run(follower.on(["a"], handler));
    seen.next().await;
    running.reaches(5).await;
    fake.requests();
    fake.notify(notify(6, &["b", "c"])).await;
    fake.notify(notify_keys(7, &[("b", &["k"])])).await;
    running.reaches(7).await;
    assert!(fake.requests().is_empty());
    assert_eq!(seen.now(), None);
    // The version did change: version 8 is not a gap.
    fake.set(8, "a", "k", "a8");
    fake.notify(notify(8, &["a"])).await;
    assert_eq!(seen.next().await.version, 8);
    assert_eq!(fake.requests(), ["getvalues a"]);
}

#[tokio::test]
async fn a_handler_without_types_is_always_called() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    let (mut seen, handler) = recorder();
    let running = run(follower.on_everything(handler));
    seen.next().await;
    running.reaches(5).await;
    fake.set(6, "new", "k", "n6");
    fake.notify(notify(6, &["new"])).await;
    let change = seen.next().await;
    assert_eq!((change.get("new", "k"), change.get("a", "k")), (Some("n6"), Some("a5")));
    fake.unset(7, "new", "k");
    fake.notify(notify_keys(7, &[("new", &["k"])])).await;
    assert_eq!(seen.next().await.types.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    fake.move_to(8);
    fake.notify(notify(8, &[])).await;
    assert_eq!(seen.next().await.version, 8);
}

#[tokio::test]
async fn mixed_filtering_calls_the_concerned_handlers_and_no_others() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    let ((mut a, on_a), (mut ab, on_ab), (mut c, on_c), (mut all, on_all)) = (recorder(), recorder(), recorder(), recorder());
    let running = run(follower.on(["a"], on_a).on(["a", "b"], on_ab).on(["c"], on_c).on_everything(on_all));
    running.reaches(5).await;
    for seen in [&mut a, &mut ab, &mut c, &mut all] {
        seen.next().await;
    }
    fake.set(6, "b", "k", "b6");
    fake.notify(notify(6, &["b", "unknown"])).await;
    running.reaches(6).await;
    assert_eq!(ab.next().await.get("b", "k"), Some("b6"));
    assert_eq!(all.next().await.get("b", "k"), Some("b6"));
    assert_eq!((a.now(), c.now()), (None, None));
    fake.set(7, "a", "k", "a7");
    fake.notify(notify(7, &["a"])).await;
    running.reaches(7).await;
    for seen in [&mut a, &mut ab, &mut all] {
        assert_eq!(seen.next().await.get("a", "k"), Some("a7"));
    }
    assert_eq!(c.now(), None);
}

#[tokio::test]
async fn empty_types_call_all_handlers() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    let ((mut a, on_a), (mut b, on_b)) = (recorder(), recorder());
    let running = run(follower.on(["a"], on_a).on(["b"], on_b));
    running.reaches(5).await;
    a.next().await;
    b.next().await;
    fake.requests();
    fake.move_to(6);
    fake.notify_raw(r#"{"version": 6}"#).await;
    running.reaches(6).await;
    assert_eq!((a.next().await.version, b.next().await.version), (6, 6));
    assert_eq!(fake.requests(), ["getvalues a", "getvalues b"]);
}

#[tokio::test]
async fn a_notify_between_subscribe_and_fetch_is_not_applied_twice() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    // The answer to the first fetch contains the change already, and its notification waits.
    fake.instead(Instead::FreshBehind(notify(6, &["a"]), ("a", "k", "a6")));
    let (mut seen, handler) = recorder();
    let running = run(follower.on(["a"], handler));
    let change = seen.next().await;
    assert_eq!((change.version, change.get("a", "k")), (6, Some("a6")));
    fake.set(7, "a", "k", "a7");
    fake.notify(notify(7, &["a"])).await;
    running.reaches(7).await;
    assert_eq!(seen.next().await.version, 7);
    assert_eq!(fake.requests(), ["getvalues a", "getvalues a"]);
}

#[tokio::test]
async fn a_notify_between_subscribe_and_fetch_is_not_lost() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    // The answer to the first fetch is from before the change, whose notification arrives before the answer.
    fake.instead(Instead::StaleBehind(notify(6, &["a"]), ("a", "k", "a6")));
    let (mut seen, handler) = recorder();
    let running = run(follower.on(["a"], handler));
    assert_eq!(seen.next().await.get("a", "k"), Some("a5"));
    assert_eq!(seen.next().await.get("a", "k"), Some("a6"));
    running.reaches(6).await;
    assert_eq!(seen.now(), None);
}

#[tokio::test]
async fn with_keys_and_the_version_just_before_only_those_keys_are_fetched() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    fake.set(5, "a", "old", "o5");
    let (mut seen, handler) = recorder();
    let running = run(follower.on(["a", "b"], handler));
    seen.next().await;
    running.reaches(5).await;
    fake.requests();
    fake.set(6, "a", "new", "n6");
    fake.unset(6, "a", "old");
    fake.notify(notify_keys(6, &[("a", &["new", "old"]), ("c", &["k"])])).await;
    let change = seen.next().await;
    let wanted = BTreeMap::from([("k".to_owned(), "a5".to_owned()), ("new".to_owned(), "n6".to_owned())]);
    assert_eq!(*change.types["a"], wanted, "the handler still gets the whole content");
    assert_eq!(change.get("b", "k"), Some("b5"));
    assert_eq!(fake.requests(), ["get a/new a/old"]);
}

#[tokio::test]
async fn keys_newer_than_their_notify_hide_no_other_change() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    let (mut seen, handler) = recorder();
    let running = run(follower.on(["a", "b"], handler));
    seen.next().await;
    running.reaches(5).await;
    // Versions 6 and 7 exist before the follower fetches for either.
    fake.set(6, "a", "k", "a6");
    fake.set(7, "b", "k", "b7");
    fake.set(7, "a", "other", "o7");
    fake.notify(notify_keys(6, &[("a", &["k"])])).await;
    fake.notify(notify_keys(7, &[("a", &["other"]), ("b", &["k"])])).await;
    running.reaches(7).await;
    let change = seen.until("b", "k", Some("b7")).await;
    assert_eq!((change.get("a", "k"), change.get("a", "other")), (Some("a6"), Some("o7")));
}

#[tokio::test]
async fn a_type_newer_than_its_notify_is_not_refetched_and_hides_no_other_change() {
    let fixture = ConfigFixture::new();
    let (fake, follower) = at_five(&fixture).await;
    let (mut seen, handler) = recorder();
    let running = run(follower.on(["a", "b"], handler));
    seen.next().await;
    running.reaches(5).await;
    fake.requests();
    fake.set(6, "a", "k", "a6");
    fake.set(7, "a", "k", "a7");
    fake.set(8, "b", "k", "b8");
    for told in [notify(6, &["a"]), notify(7, &["a"]), notify(8, &["b"])] {
        fake.notify(told).await;
    }
    running.reaches(8).await;
    let change = seen.next().await;
    assert_eq!((change.get("a", "k"), change.get("b", "k")), (Some("a7"), Some("b5")));
    assert_eq!(seen.next().await.get("b", "k"), Some("b8"));
    assert_eq!(fake.requests(), ["getvalues a", "getvalues b"]);
    assert_eq!(seen.now(), None);
}

#[tokio::test]
async fn with_the_real_service_every_change_arrives() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    let ((mut a, on_a), (mut all, on_all)) = (recorder(), recorder());
    let running = run(fixture.follower().await.on(["a", "b"], on_a).on_everything(on_all));
    let start = a.next().await.version;
    for n in 1..=30_u64 {
        let text = n.to_string();
        client.apply(Batch::new().put("a", &text, &text).delete("a", (n - 1).to_string()).put("c", "n", &text)).await.unwrap();
    }
    running.reaches(start + 30).await;
    let change = a.until("a", "30", Some("30")).await;
    assert_eq!(change.types["a"].len(), 1);
    let change = all.until("c", "n", Some("30")).await;
    assert_eq!(change.types["a"].len(), 1);
    assert_eq!((a.now(), all.now()), (None, None));
}
