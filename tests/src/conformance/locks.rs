//! Locks.

use weir_pubsub::{Class, Lock, LockName, PubsubError, Result};

use super::fixture::BrokerFixture;
use crate::wait::{DEADLINE, eventually, given_up, within};

impl BrokerFixture {
    /// A lock of this test.
    fn lock_name(&self, service: &str) -> LockName {
        let topicspace = self.topic(Class::Request, "a").topicspace().to_owned();
        LockName::new(service, &topicspace).unwrap()
    }

    async fn lock(&self, service: &str) -> Result<Box<dyn Lock>> {
        within("an answer", self.backend().lock(&self.lock_name(service))).await
    }

    /// The lock, as soon as it is free and the backend is connected.
    async fn lock_again(&self, service: &str) -> Box<dyn Lock> {
        let taken = || async {
            match self.lock(service).await {
                Ok(lock) => Some(lock),
                Err(PubsubError::Unavailable { .. } | PubsubError::LockHeld { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        };
        eventually(DEADLINE, "the lock", taken).await
    }

    fn is_held(&self, refused: Result<Box<dyn Lock>>, service: &str) -> bool {
        matches!(refused, Err(PubsubError::LockHeld { lock }) if lock == self.lock_name(service))
    }
}

/// `lock`: it has one holder at a time; `LockHeld` while another holds it.
pub async fn a_lock_has_one_holder(fixture: &mut BrokerFixture) {
    let _held = fixture.lock("one").await.unwrap();
    for _ in 0..3 {
        assert!(fixture.is_held(fixture.lock("one").await, "one"));
    }
}

/// `lock`: it has one holder at a time across all processes.
pub async fn a_lock_has_one_holder_among_all_processes(fixture: &mut BrokerFixture) {
    let (name, other) = (fixture.lock_name("one"), fixture.beside().await);
    let held = within("an answer", other.lock(&name)).await.unwrap();
    for _ in 0..3 {
        assert!(fixture.is_held(fixture.lock("one").await, "one"));
    }
    drop(held);
    let _held = fixture.lock_again("one").await;
    assert!(fixture.is_held(within("an answer", other.lock(&name)).await, "one"));
}

/// `lock`: locks of other names are independent.
pub async fn locks_of_other_names_are_independent(fixture: &mut BrokerFixture) {
    let _held = fixture.lock("one").await.unwrap();
    fixture.lock("two").await.unwrap();
    let elsewhere = LockName::new("one", &format!("{}-other", fixture.topic(Class::Request, "a").topicspace())).unwrap();
    fixture.backend().lock(&elsewhere).await.unwrap();
    // A queue of requests with that name is not a lock.
    let queue = fixture.made(Class::Request, "one", "svc").await;
    fixture.consumer(&queue).await;
}

/// `Lock`: dropping it releases it.
pub async fn a_lock_is_held_until_it_is_dropped(fixture: &mut BrokerFixture) {
    for _ in 0..3 {
        let held = fixture.lock_again("one").await;
        assert!(fixture.is_held(fixture.lock("one").await, "one"));
        drop(held);
    }
    fixture.lock_again("one").await;
}

/// `lock`: one whose caller is gone when it is taken is released.
pub async fn a_lock_whose_acquisition_is_cancelled_is_released(fixture: &mut BrokerFixture) {
    let name = fixture.lock_name("one");
    // More polls than it takes to acquire a lock.
    for polls_count in 0..20 {
        drop(within("a lock", given_up(polls_count, fixture.backend().lock(&name))).await);
    }
    let _held = fixture.lock_again("one").await;
    assert!(fixture.is_held(fixture.lock("one").await, "one"));
}

/// `lost`: waits until the lock is lost: not while it is held, whatever others attempt.
pub async fn a_held_lock_is_not_lost(fixture: &mut BrokerFixture) {
    let mut held = fixture.lock("one").await.unwrap();
    assert!(fixture.is_held(fixture.lock("one").await, "one"));
    assert!(fixture.is_waiting(held.lost()).await);
}

/// `lost`: the connection was lost: then others may have it.
pub async fn a_lost_connection_loses_the_lock(fixture: &mut BrokerFixture) {
    let mut held = fixture.lock("one").await.unwrap();
    let (lost, ()) = within("the loss", async { tokio::join!(held.lost(), fixture.lose_connection()) }).await;
    assert!(matches!(lost, PubsubError::Unavailable { .. }), "{lost}");
    let _again = fixture.lock_again("one").await;
    assert!(fixture.is_held(fixture.lock("one").await, "one"), "while the lost one is still there");
}

/// `lost`: every later call returns the reason again, whichever backend then holds it.
pub async fn a_lost_lock_stays_lost(fixture: &mut BrokerFixture) {
    let mut held = fixture.lock("one").await.unwrap();
    fixture.lose_connection().await;
    let _again = fixture.lock_again("one").await;
    for _ in 0..3 {
        let lost = within("the loss", held.lost()).await;
        assert!(matches!(lost, PubsubError::Unavailable { .. }), "{lost}");
    }
    drop(held);
    assert!(fixture.is_held(fixture.lock("one").await, "one"), "dropping what was lost releases nothing");
}

/// `lock`: `Unavailable` without a connection.
pub async fn without_a_connection_a_lock_is_unavailable(fixture: &mut BrokerFixture) {
    fixture.disconnect().await;
    let refused = fixture.lock("one").await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, PubsubError::Unavailable { .. }), "{refused}");
    fixture.reconnect().await;
    fixture.lock_again("one").await;
}

/// `lock`: it can be taken again after a restart of the broker.
pub async fn a_lock_can_be_taken_after_a_restart_of_the_broker(fixture: &mut BrokerFixture) {
    let mut held = fixture.lock("one").await.unwrap();
    fixture.restart_beneath().await;
    within("the loss", held.lost()).await;
    let _again = fixture.lock_again("one").await;
    assert!(fixture.is_held(fixture.lock("one").await, "one"));
}

/// `lock`: `Refused` without permission.
pub async fn taking_a_lock_without_permission_is_refused(fixture: &mut BrokerFixture) {
    fixture.deny().await;
    let refused = || async {
        match fixture.lock("one").await {
            Err(PubsubError::Refused { .. }) => Some(()),
            Err(error) => panic!("{error}"),
            // The permission may stay in effect for a moment.
            Ok(_) => None,
        }
    };
    eventually(DEADLINE, "the refusal", refused).await;
    fixture.allow().await;
    let again = || async { fixture.lock("one").await.ok() };
    eventually(DEADLINE, "the lock with the right", again).await;
}

/// `lost`: the backend was closed.
pub async fn closing_loses_locks(fixture: &mut BrokerFixture) {
    let mut held = fixture.lock("one").await.unwrap();
    let (lost, ()) = within("the loss", async { tokio::join!(held.lost(), fixture.close()) }).await;
    assert!(matches!(lost, PubsubError::Unavailable { .. }), "{lost}");
    let refused = fixture.lock("one").await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, PubsubError::Unavailable { .. }), "{refused}");
}

/// `lock_holder`: the holder of a lock, and none if it is free; looking does not disturb.
pub async fn the_holder_of_a_lock_is_shown(fixture: &mut BrokerFixture) {
    let name = fixture.lock_name("one");
    let holder = || async { within("an answer", fixture.inspect().lock_holder(&name)).await.unwrap() };
    assert_eq!(holder().await, None);
    let mut held = fixture.lock("one").await.unwrap();
    assert!(holder().await.is_some());
    assert!(fixture.is_waiting(held.lost()).await);
    drop(held);
    eventually(DEADLINE, "the lock to be free", || async { holder().await.is_none().then_some(()) }).await;
}

/// `lock`: it is not a queue that [`weir_pubsub::Inspect`] lists.
pub async fn a_lock_is_not_listed_among_the_queues(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let _held = fixture.lock("one").await.unwrap();
    let listed = || async {
        let all = fixture.inspect().list_queues().await.unwrap();
        all.contains(&queue).then_some(all)
    };
    let all = eventually(DEADLINE, "the list", listed).await;
    assert!(!all.iter().any(|queue| queue.wire_name().contains("lock")), "{all:?}");
}
