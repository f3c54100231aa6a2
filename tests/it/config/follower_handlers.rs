//! Handlers that are registered, unregistered and fail while the follower runs.

use std::sync::Arc;

use tokio::sync::Notify as Bell;
use weir_config::{Batch, Change};

use super::fake::{Fake, Instead, notify, notify_keys};
use super::support::{ConfigFixture, recorder, run, within_deadline};

#[tokio::test]
async fn a_handler_registered_at_run_time_is_called_at_once_and_at_each_change() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5")]).await;
    let (mut a, on_a) = recorder();
    let running = run(fixture.follower().await.on(["a"], on_a));
    a.next().await;
    running.reaches(5).await;
    fake.requests();
    let ((mut b, on_b), (mut again, on_a_again), (mut all, on_all)) = (recorder(), recorder(), recorder());
    running.handle.register(["b"], on_b);
    assert_eq!(b.next().await.get("b", "k"), Some("b5"));
    running.handle.register(["a"], on_a_again);
    assert_eq!(again.next().await.get("a", "k"), Some("a5"));
    assert_eq!(fake.requests(), ["getvalues b"], "what is known is not fetched again");
    running.handle.register_everything(on_all);
    assert_eq!(all.next().await.types.len(), 2);
    fake.set(6, "b", "k", "b6");
    fake.notify(notify(6, &["b"])).await;
    assert_eq!(b.next().await.get("b", "k"), Some("b6"));
    assert_eq!(all.next().await.get("b", "k"), Some("b6"));
    running.reaches(6).await;
    assert_eq!((a.now(), again.now()), (None, None));
}

#[tokio::test]
async fn a_new_handler_hides_no_change_from_the_others() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5")]).await;
    let (mut a, on_a) = recorder();
    let running = run(fixture.follower().await.on(["a"], on_a));
    a.next().await;
    running.reaches(5).await;
    // The new handler's fetch is already of version 6, whose notification arrives later.
    fake.set(6, "a", "k", "a6");
    let ((mut ab, on_ab), (mut all, on_all)) = (recorder(), recorder());
    running.handle.register(["a", "b"], on_ab);
    running.handle.register_everything(on_all);
    ab.next().await;
    all.next().await;
    fake.notify(notify(6, &["a"])).await;
    for seen in [&mut a, &mut ab, &mut all] {
        assert_eq!(seen.next().await.get("a", "k"), Some("a6"));
    }
}

#[tokio::test]
async fn a_new_handler_is_served_after_a_failed_fetch_too() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5")]).await;
    let (mut a, on_a) = recorder();
    let running = run(fixture.follower().await.on(["a"], on_a));
    a.next().await;
    running.reaches(5).await;
    fake.instead(Instead::Fail);
    fake.instead(Instead::Fail);
    let (mut b, on_b) = recorder();
    running.handle.register(["b"], on_b);
    assert_eq!(b.next().await.get("b", "k"), Some("b5"));
}

#[tokio::test]
async fn an_unregistered_handler_is_not_called_and_its_types_are_not_fetched() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5")]).await;
    let ((mut a, on_a), (mut b, on_b)) = (recorder(), recorder());
    let follower = fixture.follower().await.on(["a"], on_a);
    let id = follower.handle().register(["b"], on_b);
    let running = run(follower);
    a.next().await;
    b.next().await;
    running.reaches(5).await;
    fake.requests();
    running.handle.unregister(id);
    fake.set(6, "b", "k", "b6");
    fake.notify(notify(6, &["b"])).await;
    running.reaches(6).await;
    assert!(fake.requests().is_empty());
    assert_eq!((a.now(), b.now()), (None, None));
    // A handler that is registered again gets the current content, not the content known before.
    let (mut back, on_back) = recorder();
    running.handle.register(["b"], on_back);
    assert_eq!(back.next().await.get("b", "k"), Some("b6"));
    assert_eq!(fake.requests(), ["getvalues b"]);
}

#[tokio::test]
async fn a_handlers_own_failure_is_reported_and_counts_as_applied() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    let handler = |change: Change| async move {
        match change.get("a", "k") {
            Some("bad") => Err("it is bad".to_owned()),
            Some("panic") => panic!("a handler that panics"),
            _ => Ok(()),
        }
    };
    let (mut beside, on_beside) = recorder();
    let follower = fixture.follower().await;
    let id = follower.handle().register(["a"], handler);
    let running = run(follower.on(["a"], on_beside));
    let mut status = running.handle.status();
    let mut version = beside.next().await.version;
    for (value, error) in [("bad", Some("it is bad")), ("good", None), ("panic", Some("the handler panicked")), ("good", None)] {
        client.apply(Batch::new().put("a", "k", value)).await.unwrap();
        version += 1;
        running.reaches(version).await;
        let told = within_deadline(status.wait_for(|status| status.version == version)).await.unwrap().clone();
        assert_eq!(told.handler_errors.get(&id).map(String::as_str), error, "{value}");
        assert_eq!(told.fetch_error, None);
        assert_eq!(beside.next().await.get("a", "k"), Some(value), "the others are called all the same");
    }
}

#[tokio::test]
async fn a_handler_may_register_and_unregister_others() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    fixture.client().await.apply(Batch::new().put("a", "k", "v").put("b", "k", "w")).await.unwrap();
    let follower = fixture.follower().await;
    let (mut b, on_b) = recorder();
    let (handle, on_b, gone) = (follower.handle(), Arc::new(on_b), Arc::new(Bell::new()));
    let removed = follower.handle().register(["c"], |_| async { Ok(()) });
    let bell = gone.clone();
    let running = run(follower.on(["a"], move |_| {
        let on_b = on_b.clone();
        handle.register(["b"], move |change| on_b(change));
        handle.unregister(removed);
        bell.notify_one();
        async { Ok(()) }
    }));
    within_deadline(gone.notified()).await;
    assert_eq!(b.next().await.get("b", "k"), Some("w"));
    drop(running);
}

#[tokio::test]
async fn a_follower_without_handlers_tracks_the_version() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[]).await;
    let running = run(fixture.follower().await);
    running.reaches(5).await;
    fake.move_to(6);
    fake.notify(notify(6, &["a"])).await;
    running.reaches(6).await;
    fake.move_to(9);
    fake.notify(notify(9, &["a"])).await;
    running.reaches(9).await;
}

#[tokio::test]
async fn a_handler_of_a_prefix_gets_types_that_come_and_go_and_nothing_else_is_fetched() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("p:one", "k", "1"), ("other", "k", "large"), ("t", "k", "t5")]).await;
    let (mut seen, handler) = recorder();
    let follower = fixture.follower().await;
    follower.handle().register_with_prefix(["t"], "p:", handler);
    let running = run(follower);
    let first = seen.next().await;
    assert_eq!(first.types.keys().collect::<Vec<_>>(), ["p:one", "t"]);
    assert_eq!(fake.requests(), ["list-types", "getvalues p:one", "getvalues t"]);
    // A type that had no value before is found by the listing.
    fake.set(6, "p:two", "k", "2");
    fake.notify(notify_keys(6, &[("p:two", &["k"])])).await;
    assert_eq!(seen.next().await.get("p:two", "k"), Some("2"));
    fake.set(7, "other", "k", "larger");
    fake.notify(notify(7, &["other"])).await;
    running.reaches(7).await;
    fake.unset(8, "p:one", "k");
    fake.notify(notify(8, &["p:one"])).await;
    assert_eq!(seen.next().await.types.keys().collect::<Vec<_>>(), ["p:two", "t"]);
    assert_eq!(fake.requests(), ["get p:two/k", "getvalues p:one"]);
}

#[tokio::test]
async fn a_replacement_handler_is_called_with_the_cached_content() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("p:one", "k", "1"), ("t", "k", "t5")]).await;
    let ((mut old, on_old), (mut new, on_new)) = (recorder(), recorder());
    let follower = fixture.follower().await;
    let id = follower.handle().register_with_prefix(["u"], "p:", on_old);
    let running = run(follower);
    old.next().await;
    running.reaches(5).await;
    fake.requests();
    running.handle.unregister(id);
    running.handle.register_with_prefix(["t"], "p:", on_new);
    let change = new.next().await;
    assert_eq!((change.get("p:one", "k"), change.get("t", "k")), (Some("1"), Some("t5")));
    assert_eq!(fake.requests(), ["getvalues t"]);
}

#[tokio::test]
async fn changed_keys_too_large_for_one_answer_are_read_with_their_types() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 5, &[("a", "k", "a5"), ("b", "k", "b5")]).await;
    let (mut seen, handler) = recorder();
    let running = run(fixture.follower().await.on(["a", "b"], handler));
    seen.next().await;
    running.reaches(5).await;
    fake.requests();
    fake.set(6, "a", "k", "a6");
    fake.instead(Instead::TooLarge);
    fake.notify(notify_keys(6, &[("a", &["k"]), ("b", &["k"])])).await;
    let change = seen.next().await;
    assert_eq!((change.get("a", "k"), change.get("b", "k")), (Some("a6"), Some("b5")));
    assert_eq!(fake.requests(), ["get a/k b/k", "getvalues a", "getvalues b"]);
}
