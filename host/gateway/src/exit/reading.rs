//! Consumers of exits.

use std::num::NonZeroU32;

use weir_pubsub::{Consumer, ConsumerOptions, PubsubError};

use crate::dispatch::{FlowDirectory, Interface};
use crate::error::{GatewayError, Result};
use crate::reader_backoff::ReaderBackoff;

/// A consumer of the interface's exit; `None` if it has no exit.
pub(crate) async fn consumer(dispatch: &FlowDirectory, interface: &Interface, window: NonZeroU32) -> Result<Option<Box<dyn Consumer>>> {
    let queue = interface.exit_queue()?;
    let options = ConsumerOptions { window, ..ConsumerOptions::default() };
    match dispatch.backend().consumer(queue.topic(), queue.subscription(), options).await {
        Ok(consumer) => Ok(Some(consumer)),
        Err(PubsubError::QueueNotFound { .. }) if dispatch.is_stopped(interface).await => Err(interface.gone()),
        Err(PubsubError::QueueNotFound { .. }) => Ok(None),
        Err(error) => Err(GatewayError::broker("the exit cannot be read")(error)),
    }
}

/// A new consumer after the connection to the broker was lost; waits for the connection.
pub(crate) async fn consumer_again(
    dispatch: &FlowDirectory,
    interface: &Interface,
    window: NonZeroU32,
    reader_backoff: &mut ReaderBackoff,
) -> Result<Box<dyn Consumer>> {
    tracing::info!(flow = interface.flow, interface = interface.name, "consumer of an exit lost, resubscribing");
    let consumer = reader_backoff.get(|| consumer(dispatch, interface, window)).await?;
    consumer.ok_or_else(|| interface.wrong("no longer has an exit".to_owned()))
}
