//! Configuration: `setup.configure`, and the consistent state that a call sees.

use serde_json::{Value, json};
use weir_config::Batch;
use weir_config::records::ProcessorState;
use weir_tests::wait::{DEADLINE, eventually};

use super::service::{Service, run_asking};
use crate::guests;
use crate::host_fixture::HostFixture;

/// A fixture with the guest that follows the configuration, and the service that it calls in the middle of each message.
struct Following {
    fixture: HostFixture,
    service: Service,
}

impl Following {
    async fn new(before: Batch) -> Self {
        let fixture = HostFixture::new().await;
        fixture.config.apply(before).await.unwrap();
        let service = Service::open(&fixture).await;
        let component = fixture.deploy(guests::CONFIG_FOLLOW, |_| {}).await;
        run_asking(&fixture, &component).await;
        // A second component of the same host shows which state the host has.
        let probe = fixture.deploy(guests::CONFIG_GET, |_| {}).await;
        fixture.create("flow:tg:probe", "config-get--v--input").await;
        fixture.create("flow:tg:probed", "test").await;
        let topics = [("input", "flow:tg:probe"), ("output", "flow:tg:probed")];
        fixture.put("processor:config-get", "v", &crate::host_fixture::entry(&probe, &topics, &[])).await;
        Following { fixture, service }
    }

    /// Changes the configuration and waits until the host has it.
    async fn change(&self, batch: Batch, a: &str) {
        self.fixture.config.apply(batch).await.unwrap();
        let probed = self.fixture.reader("flow:tg:probed", "test").await;
        eventually(DEADLINE, "the host to have the change", || async {
            self.fixture.send("flow:tg:probe", weir_pubsub::Message::new(r#"{"key": "a"}"#)).await;
            let seen: Value = serde_json::from_str(&probed.next_text().await).unwrap();
            (seen["value"] == a).then_some(())
        })
        .await;
    }

    /// Sends a message and lets it complete immediately.
    async fn handled(&self) -> Value {
        self.fixture.send_text("{}").await;
        let (_, id) = self.service.asked().await;
        self.ended(&id).await
    }

    async fn ended(&self, id: &str) -> Value {
        self.service.answer(id, "1").await;
        serde_json::from_str(&self.fixture.outputs().await.next_text().await).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configure_is_called_before_the_first_message_and_after_each_change() {
    let following = Following::new(Batch::new().put("settings", "a", "1")).await;
    let seen = following.handled().await;
    assert_eq!(
        (&seen["kept"], &seen["configured"], &seen["sent"]),
        (&json!("1"), &json!(["settings+others"]), &json!("Some(ErrorKind::Invalid)"))
    );
    following.change(Batch::new().put("settings", "a", "2"), "2").await;
    let changed = following.handled().await;
    assert_eq!((&changed["kept"], &changed["configured"]), (&json!("2"), &json!(["settings+others", "settings"])));
    assert!(changed["before"]["version"].as_u64() > seen["before"]["version"].as_u64());
    // A type that the descriptor does not name does not concern it.
    following.change(Batch::new().put("unrelated", "a", "1").put("settings", "b", "1").put("others", "x", "1"), "2").await;
    eventually(DEADLINE, "both declared types to be named, and no other", || async {
        let seen = following.handled().await;
        (seen["configured"].as_array().unwrap().last() == Some(&json!("settings+others"))).then_some(())
    })
    .await;
    following.fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_sees_one_state_of_the_configuration() {
    let following = Following::new(Batch::new().put("settings", "a", "1")).await;
    following.fixture.send_text("{}").await;
    let (_, id) = following.service.asked().await;
    following.change(Batch::new().put("settings", "a", "2").put("settings", "b", "2"), "2").await;
    let seen = following.ended(&id).await;
    assert_eq!((&seen["after"], &seen["before"]["a"], &seen["before"]["keys"]), (&seen["before"], &json!("1"), &json!(["a"])));
    let next = following.handled().await;
    assert_eq!((&next["before"]["a"], &next["before"]["keys"], &next["kept"]), (&json!("2"), &json!(["a", "b"]), &json!("2")));
    following.fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_refused_by_configure_is_reported_and_has_no_effect() {
    let following = Following::new(Batch::new().put("settings", "a", "1")).await;
    following.handled().await;
    following.change(Batch::new().put("settings", "a", "bad"), "bad").await;
    let seen = following.handled().await;
    assert_eq!((&seen["kept"], &seen["before"]["a"], &seen["after"]["a"]), (&json!("1"), &json!("1"), &json!("1")));
    let status = following.fixture.status("config-follow").unwrap();
    assert_eq!(status.state, ProcessorState::Running);
    assert!(status.last_error.unwrap().contains("the value of `a` is bad"));
    following.change(Batch::new().put("settings", "a", "3"), "3").await;
    let seen = following.handled().await;
    assert_eq!((&seen["kept"], &seen["before"]["a"]), (&json!("3"), &json!("3")));
    // And it is notified without a further message.
    let told = following.fixture.status("config-follow").unwrap().last_error_ms;
    following.fixture.config.apply(Batch::new().put("settings", "a", "bad")).await.unwrap();
    following.fixture.until("config-follow", |status| status.last_error_ms > told).await;
    following.fixture.end().await;
}
