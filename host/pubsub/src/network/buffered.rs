//! A reader with a buffer that a connection's task fills: bounded in messages and bytes, so that a slow reader blocks nothing.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::closed;
use crate::backend::{Consumer, Delivery, DeliveryCount, Receipt};
use crate::error::{PubsubError, Result};
use crate::mailbox::{Mailbox, MailboxItem};

/// The default maximum number of buffered messages.
pub(crate) const BUFFERED_COUNT: NonZeroU32 = NonZeroU32::MIN.saturating_add(65_535);
/// The maximum size of their bodies in bytes.
const BUFFERED_BYTES: usize = 16 << 20;

/// The buffered messages, and why no more will arrive.
pub(crate) struct SubscriberBuffer {
    pub(crate) mailbox: Mailbox,
    end: OnceLock<PubsubError>,
}

impl SubscriberBuffer {
    pub(crate) fn new(count: NonZeroU32) -> Arc<Self> {
        Arc::new(SubscriberBuffer { mailbox: Mailbox::new(count, BUFFERED_BYTES), end: OnceLock::new() })
    }

    /// Ends the buffer: no more messages will arrive. The first reason is kept.
    pub(crate) fn end(&self, error: PubsubError) {
        let _ = self.end.set(error);
        self.mailbox.close();
    }

    fn ended(&self) -> PubsubError {
        self.end.get().cloned().unwrap_or_else(closed)
    }
}

/// The reader of a buffer. Dropping it cancels `left`, which ends the task that fills the buffer.
pub(crate) struct Buffered {
    pub(crate) buffer: Arc<SubscriberBuffer>,
    pub(crate) left: CancellationToken,
}

#[async_trait]
impl Consumer for Buffered {
    async fn receive(&self) -> Result<Delivery> {
        match self.buffer.mailbox.next().await {
            MailboxItem::Message(message) => Ok(Delivery { message, receipt: Receipt::none(), delivery_count: DeliveryCount::AtLeast(1) }),
            MailboxItem::Missed(missed_count) => Err(PubsubError::Lagged { missed_count }),
            MailboxItem::Closed => Err(self.buffer.ended()),
        }
    }

    async fn readable(&self) -> Result<()> {
        if self.buffer.mailbox.readable().await { Ok(()) } else { Err(self.buffer.ended()) }
    }

    /// The buffer has its own bound.
    fn set_window(&self, _window: NonZeroU32) {}
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.left.cancel();
    }
}
