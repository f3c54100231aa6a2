//! The test as the other side of a request: as the responder and as the requester.

use std::time::Duration;

use weir_config::records::{ComponentRef, entry_type};
use weir_pubsub::{Backend, CORRELATION_ID, Message, Producer, Replies, Requester, WEIR_ERROR, WEIR_PART};

use crate::host_fixture::{HostFixture, Reader, entry};

/// The topics of the service that components call.
pub(crate) const SERVICE: [(&str, &str); 2] = [("service-request", "request:tg:service"), ("service-response", "response:tg:service")];
/// The topics of a component that answers requests.
pub(crate) const ASKED: [(&str, &str); 2] = [("request", "request:tg:ask"), ("response", "response:tg:ask")];

/// The responder `service`: takes the requests one by one and answers when the test decides.
pub(crate) struct Service {
    requests: Reader,
    answers: Box<dyn Producer>,
}

impl Service {
    pub(crate) async fn open(fixture: &HostFixture) -> Self {
        fixture.create("request:tg:service", "test").await;
        let requests = fixture.reader("request:tg:service", "test").await;
        let answers = fixture.backend.producer(&"response:tg:service".parse().unwrap()).await.unwrap();
        Service { requests, answers }
    }

    /// The next request: its body and correlation id.
    pub(crate) async fn asked(&self) -> (String, String) {
        let request = self.requests.next().await;
        let id = request.properties.get(CORRELATION_ID).unwrap().to_owned();
        (String::from_utf8(request.body.to_vec()).unwrap(), id)
    }

    pub(crate) async fn answer(&self, id: &str, body: impl Into<Vec<u8>>) {
        self.publish(Message::new(body.into()), id).await;
    }

    pub(super) async fn answer_part(&self, id: &str, body: impl Into<Vec<u8>>) {
        self.publish(Message::new(body.into()).with(WEIR_PART, "more"), id).await;
    }

    pub(crate) async fn answer_error(&self, id: &str, message: &str) {
        let body = serde_json::json!({"error": {"type": "sick", "message": message}}).to_string();
        self.publish(Message::new(body).with(WEIR_ERROR, "sick"), id).await;
    }

    async fn publish(&self, message: Message, id: &str) {
        self.answers.publish_confirmed(message.with(CORRELATION_ID, id)).await.unwrap();
    }
}

/// Runs a component that calls `service`, from `flow:tg:in` to `flow:tg:out`, variant `v`.
pub(super) async fn run_asking(fixture: &HostFixture, component: &ComponentRef) {
    fixture.create("flow:tg:in", &format!("{}--v--input", component.name)).await;
    fixture.create("flow:tg:out", "test").await;
    let topics = [("input", "flow:tg:in"), ("output", "flow:tg:out"), SERVICE[0], SERVICE[1]];
    fixture.put(&entry_type(&component.name), "v", &entry(component, &topics, &[])).await;
}

/// Runs a component that answers requests, variant `v`; `more` are its further topics.
pub(crate) async fn run_asked(fixture: &HostFixture, component: &ComponentRef, more: &[(&str, &str)]) {
    fixture.create("request:tg:ask", &format!("{}--v--request", component.name)).await;
    let topics: Vec<_> = ASKED.iter().chain(more).copied().collect();
    fixture.put(&entry_type(&component.name), "v", &entry(component, &topics, &[])).await;
}

/// The requester for a component.
pub(crate) async fn requester(fixture: &HostFixture) -> Requester {
    let (request, response) = ("request:tg:ask".parse().unwrap(), "response:tg:ask".parse().unwrap());
    Requester::connect(fixture.backend.clone(), &request, &response, &"asker".parse().unwrap()).await.unwrap()
}

pub(crate) async fn begin(requester: &Requester, body: &str, time: Duration) -> Replies {
    requester.begin(Message::new(body.to_owned()), time).await.unwrap()
}

/// The next part: its text, and its error if it is one.
pub(super) async fn part(replies: &mut Replies) -> Option<(String, Option<String>)> {
    let part = replies.next().await.unwrap()?;
    Some((String::from_utf8(part.body.to_vec()).unwrap(), part.properties.get(WEIR_ERROR).map(str::to_owned)))
}

/// All remaining parts.
pub(crate) async fn parts(mut replies: Replies) -> Vec<(String, Option<String>)> {
    let mut all = Vec::new();
    while let Some(part) = part(&mut replies).await {
        all.push(part);
    }
    all
}
