//! A service that panics has failed, with its reason; a follower that panics continues.

use weir_config::{Batch, ConfigService};

use super::faulty::{Call, Faulty};
use super::support::{ConfigFixture, recorder, run, within_deadline};

#[tokio::test]
async fn a_service_that_panics_has_failed_with_its_reason() {
    let fixture = ConfigFixture::new();
    let faulty = Faulty::over(fixture.backend.clone());
    let mut service = ConfigService::start(faulty.clone(), "tg", fixture.store().await).await.unwrap();
    let client = fixture.hasty_client().await;
    client.version().await.unwrap();
    assert!(service.is_running());
    faulty.panic_once(Call::Receive, "request:tg:config");
    assert!(client.version().await.is_err());
    let reason = within_deadline(service.failed()).await;
    assert!(reason.contains("ordered by a test"), "{reason}");
    assert!(!service.is_running());
    service.stop().await;
    // Its queue is free for the next service.
    let next = fixture.service().await;
    client.version().await.unwrap();
    next.stop().await;
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_is_not_performed_again() {
    let fixture = ConfigFixture::new();
    let faulty = Faulty::over(fixture.backend.clone());
    let mut service = ConfigService::start(faulty.clone(), "tg", fixture.store().await).await.unwrap();
    let client = fixture.hasty_client().await;
    let notifies = fixture.notifies().await;
    faulty.panic_once(Call::Publish, "response:tg:config");
    assert!(client.apply(Batch::new().put("t", "k", "1")).await.is_err());
    within_deadline(service.failed()).await;
    service.stop().await;
    let next = fixture.service().await;
    assert_eq!(client.get_one("t", "k").await.unwrap().as_deref(), Some("1"), "it was done");
    let types: Vec<_> = [notifies.next().await, notifies.next().await].into_iter().map(|notify| notify.types).collect();
    assert_eq!((types, notifies.now()), (vec![vec!["t".to_owned()], vec![]], None), "once, before the service started again");
    next.stop().await;
}

#[tokio::test]
async fn a_follower_that_panics_calls_its_handlers_again_with_everything() {
    let fixture = ConfigFixture::new();
    let service = fixture.service().await;
    let client = fixture.client().await;
    let faulty = Faulty::over(fixture.backend.clone());
    let (mut seen, handler) = recorder();
    let follower = weir_config::Follower::new(faulty.clone(), "tg", fixture.client().await).unwrap().on(["t"], handler);
    let running = run(follower);
    client.apply(Batch::new().put("t", "k", "1")).await.unwrap();
    seen.until("t", "k", Some("1")).await;
    faulty.panic_once(Call::Receive, "notify:tg:config");
    client.apply(Batch::new().put("t", "k", "2")).await.unwrap();
    seen.until("t", "k", Some("2")).await;
    running.reaches(client.version().await.unwrap()).await;
    assert!(faulty.has_panicked() && running.handle.status().borrow().fetch_error.is_none());
    service.stop().await;
}
