//! Operations on flows, requested while flow services are struck by faults.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use weir_flow::plan::SwapRequest;
use weir_flow::{FlowClient, FlowError, StartFlow};
use weir_tests::wait::{DEADLINE, before};

use super::failpoints::Operation;

/// The time-out for an answer if a request may be lost: longer than an operation takes.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);
/// The time-out for all repetitions: an operation may have to wait for the end of another one.
const LONGEST_TIME: Duration = DEADLINE.saturating_mul(2);

/// The requester.
#[derive(Clone)]
pub(crate) struct Orders {
    pub(crate) flows: FlowClient,
    /// Whether a request that one flow service lost is answered by the next one.
    pub(crate) keeps_requests: bool,
}

/// An operation on a flow of the blueprint `b`.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) operation: Operation,
    pub(crate) flow: &'static str,
    /// What a swap replaces, and its replacement.
    pub(crate) processor: &'static str,
    pub(crate) component: String,
}

/// A requested operation.
pub(crate) struct Begun {
    order: Order,
    answer: JoinHandle<Result<(), FlowError>>,
}

impl Orders {
    /// Requests an operation.
    pub(crate) fn begin(&self, order: Order) -> Begun {
        let (orders, asked) = (self.clone(), order.clone());
        Begun { order, answer: tokio::spawn(async move { orders.ask(&asked).await }) }
    }

    /// Requests an operation, and waits until it is done.
    pub(crate) async fn perform(&self, order: Order) -> Result<(), String> {
        let begun = self.begin(order);
        self.answer(begun).await
    }

    /// The answer to an operation, from any flow service. If the broker keeps no requests, the request is repeated when there is no answer:
    /// the operation may have been done by then.
    pub(crate) async fn answer(&self, begun: Begun) -> Result<(), String> {
        let Begun { order, mut answer } = begun;
        let answered = async {
            loop {
                let error = match timeout(RESPONSE_TIMEOUT, &mut answer).await {
                    Ok(answer) => match answer.unwrap() {
                        Ok(()) => return Ok(()),
                        Err(FlowError::Answered { message, .. }) if !self.keeps_requests && is_done(&message) => return Ok(()),
                        Err(error) => error,
                    },
                    Err(_) if self.keeps_requests => continue,
                    Err(_) => {
                        answer.abort();
                        answer = self.begin(order.clone()).answer;
                        continue;
                    }
                };
                let is_transient = matches!(&error, FlowError::Broker { source, .. } if source.is_transient());
                if self.keeps_requests || !is_transient {
                    return Err(weir_pubsub::chain(&error));
                }
                answer = self.begin(order.clone()).answer;
            }
        };
        before(LONGEST_TIME, format!("the answer to {order:?}"), answered).await
    }

    async fn ask(&self, Order { operation, flow, processor, component }: &Order) -> Result<(), FlowError> {
        match operation {
            Operation::Start => {
                let start = StartFlow { id: (*flow).to_owned(), blueprint: "b".to_owned(), ..StartFlow::default() };
                self.flows.start_flow(start).await.map(|_| ())
            }
            Operation::Stop => self.flows.stop_flow(flow).await.map(|_| ()),
            Operation::StopIfEmpty => self.flows.stop_empty_flow(flow).await,
            Operation::Swap => {
                let (flow, processor) = ((*flow).to_owned(), (*processor).to_owned());
                let order = SwapRequest { flow, processor, component: component.clone(), ..SwapRequest::default() };
                self.flows.swap(order).await.map(|_| ())
            }
        }
    }

    /// Waits until a flow service answers.
    pub(crate) async fn are_answered(&self) {
        let answered =
            async { while !timeout(Duration::from_secs(1), self.flows.list_flows()).await.is_ok_and(|answer| answer.is_ok()) {} };
        before(LONGEST_TIME, "an answer of a flow service", answered).await;
    }
}

impl Begun {
    /// The first answer, whatever it is.
    pub(crate) async fn outcome(self) -> Result<(), String> {
        self.answer.await.unwrap().map_err(|error| weir_pubsub::chain(&error))
    }

    /// Stops waiting for the answer.
    pub(crate) fn give_up(self) {
        self.answer.abort();
    }
}

/// Whether a repeated operation had already been done.
fn is_done(message: &str) -> bool {
    message.contains("already") || message.contains("does not exist")
}
