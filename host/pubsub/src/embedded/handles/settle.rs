//! Settling deliveries.

use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, TryFutureExt};
use tokio::sync::oneshot;

use crate::backend::{Receipt, Settled, Unsettled};
use crate::embedded::commit::Shared;
use crate::embedded::refusal::{closed, lost};
use crate::embedded::state::{Operation, Outgoing};
use crate::error::Result;
use crate::lock::lock;

impl Shared {
    pub(crate) fn submit_settle(&self, receipt: Receipt, outputs: Vec<Outgoing>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let (done, outcome) = oneshot::channel();
        let outputs_count = outputs.len();
        match self.submit(Operation::Settle { receipt, outputs, done }) {
            Ok(()) => settled(outcome, outputs_count),
            Err(error) => ready(Err(Unsettled::whole(error, outputs_count))).boxed(),
        }
    }

    /// Submits acknowledgements together, so that the commit thread takes all of them; otherwise it would wake for the first and write that one
    /// alone.
    pub(crate) fn submit_acknowledgements(&self, receipts: &[Receipt]) -> Vec<BoxFuture<'static, Result<Settled, Unsettled>>> {
        let (operations, outcomes): (Vec<_>, Vec<_>) = receipts
            .iter()
            .map(|receipt| {
                let (done, outcome) = oneshot::channel();
                (Operation::Settle { receipt: *receipt, outputs: Vec::new(), done }, outcome)
            })
            .unzip();
        match self.inbox.submit_all(operations) {
            Ok(()) => outcomes.into_iter().map(|outcome| settled(outcome, 0)).collect(),
            Err(_) => receipts.iter().map(|_| ready(Err(Unsettled::whole(closed(), 0))).boxed()).collect(),
        }
    }

    /// Settles a delivery from memory: immediately, unless an output is durable or an earlier settle of the same consumer is waiting for the log.
    pub(crate) fn settle_ephemeral(&self, receipt: Receipt, outputs: Vec<Outgoing>) -> BoxFuture<'static, Result<Settled, Unsettled>> {
        let outputs_count = outputs.len();
        let mut state = lock(&self.state);
        if let Err(error) = state.check_open() {
            return ready(Err(Unsettled::whole(error, outputs_count))).boxed();
        }
        let Some(consumer) = state.consumers.get_mut(&receipt.consumer) else { return ready(Ok(Settled::NoLongerHeld)).boxed() };
        if consumer.settling_count > 0 || outputs.iter().any(|output| output.topic.class().is_durable()) {
            consumer.settling_count += 1;
            return self.submit_settle(receipt, outputs);
        }
        let mut steps = Vec::new();
        let outcome = state.decide_settle(&receipt, outputs, &mut steps).map_err(|error| Unsettled::whole(error, outputs_count));
        let wakeups = state.apply(steps);
        drop(state);
        wakeups.send();
        ready(outcome).boxed()
    }
}

/// The outcome of a settle with this many outputs, all or none of which were sent.
fn settled(outcome: oneshot::Receiver<Result<Settled>>, outputs_count: usize) -> BoxFuture<'static, Result<Settled, Unsettled>> {
    let outcome = outcome.map(|answer| answer.unwrap_or_else(|_| Err(lost())));
    outcome.map_err(move |error| Unsettled::whole(error, outputs_count)).boxed()
}
