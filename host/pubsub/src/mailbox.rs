//! Mailboxes: each subscriber of a `response` or `notify` topic and each tap has a bounded buffer of its own, from which the oldest
//! messages are dropped.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::lock::lock;
use crate::message::Message;

/// Messages buffered for one subscriber of a `response` or `notify` topic: how far a slow reader of a streamed answer may lag.
pub(crate) const BUFFERED_COUNT: NonZeroU32 = NonZeroU32::MIN.saturating_add(1023);
/// Bytes buffered for one subscriber: four answers of the maximum size.
pub(crate) const BUFFERED_BYTES: usize = 256 << 20;
/// Bytes buffered for one tap, of which there may be many: four messages of the maximum size.
pub(crate) const TAPPED_BYTES: usize = 16 << 20;

/// The buffer of one subscriber.
#[derive(Debug)]
pub(crate) struct Mailbox {
    buffer: Mutex<MailboxState>,
    bell: Notify,
    limit_count: usize,
    limit_bytes: usize,
}

#[derive(Debug, Default)]
struct MailboxState {
    messages: VecDeque<Message>,
    bytes: usize,
    missed_count: u64,
    closed: bool,
}

/// What a subscriber receives.
#[derive(Debug, PartialEq)]
pub(crate) enum MailboxItem {
    Message(Message),
    Missed(u64),
    Closed,
}

impl Mailbox {
    pub(crate) fn new(limit_count: NonZeroU32, limit_bytes: usize) -> Self {
        Mailbox { buffer: Mutex::default(), bell: Notify::new(), limit_count: limit_count.get() as usize, limit_bytes }
    }

    /// Adds a copy and drops the oldest messages if the limits are exceeded.
    pub(crate) fn push(&self, message: &Message) {
        let mut buffer = lock(&self.buffer);
        if buffer.closed {
            return;
        }
        buffer.bytes += message.body.len();
        buffer.messages.push_back(message.clone());
        while buffer.messages.len() > self.limit_count || (buffer.bytes > self.limit_bytes && buffer.messages.len() > 1) {
            let Some(oldest) = buffer.messages.pop_front() else { break };
            buffer.bytes -= oldest.body.len();
            buffer.missed_count += 1;
        }
        drop(buffer);
        self.bell.notify_one();
    }

    /// Closes the mailbox: buffered messages can still be read, then `Closed` follows.
    pub(crate) fn close(&self) {
        lock(&self.buffer).closed = true;
        self.bell.notify_waiters();
        self.bell.notify_one();
    }

    /// Waits for the next message or gap. Cancel safe.
    pub(crate) async fn next(&self) -> MailboxItem {
        loop {
            if let Some(mail) = self.try_next() {
                return mail;
            }
            self.bell.notified().await;
        }
    }

    /// Waits until [`Mailbox::next`] would return without waiting; `false` if it would return [`MailboxItem::Closed`]. Cancel safe.
    pub(crate) async fn readable(&self) -> bool {
        let is_open = loop {
            if let Some(is_open) = self.has_next() {
                break is_open;
            }
            self.bell.notified().await;
        };
        // This consumed a wake-up meant for the task that takes the message.
        self.bell.notify_one();
        is_open
    }

    /// `Some(false)` if the mailbox is closed and empty; `None` if it is open and empty.
    fn has_next(&self) -> Option<bool> {
        let buffer = lock(&self.buffer);
        let has_mail = buffer.missed_count > 0 || !buffer.messages.is_empty();
        (has_mail || buffer.closed).then_some(has_mail)
    }

    fn try_next(&self) -> Option<MailboxItem> {
        let mut buffer = lock(&self.buffer);
        if buffer.missed_count > 0 {
            return Some(MailboxItem::Missed(std::mem::take(&mut buffer.missed_count)));
        }
        let Some(message) = buffer.messages.pop_front() else {
            return buffer.closed.then(|| {
                // Other waiting readers must see it too.
                self.bell.notify_one();
                MailboxItem::Closed
            });
        };
        buffer.bytes -= message.body.len();
        if !buffer.messages.is_empty() {
            self.bell.notify_one();
        }
        Some(MailboxItem::Message(message))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_messages_are_dropped_and_the_gap_is_reported_first() {
        let mailbox = Mailbox::new(NonZeroU32::new(2).unwrap(), 100);
        for body in ["a", "b", "c", "d"] {
            mailbox.push(&Message::new(body));
        }
        assert_eq!(mailbox.next().await, MailboxItem::Missed(2));
        assert_eq!(mailbox.next().await, MailboxItem::Message(Message::new("c")));
        mailbox.close();
        mailbox.push(&Message::new("late"));
        assert_eq!(mailbox.next().await, MailboxItem::Message(Message::new("d")));
        assert_eq!(mailbox.next().await, MailboxItem::Closed);
        assert_eq!(mailbox.next().await, MailboxItem::Closed);
    }

    #[tokio::test]
    async fn bytes_are_bounded_except_for_a_single_message() {
        let mailbox = Mailbox::new(NonZeroU32::new(100).unwrap(), 4);
        for body in ["abc", "de", "fg", "large one"] {
            mailbox.push(&Message::new(body));
        }
        assert_eq!(mailbox.next().await, MailboxItem::Missed(3));
        assert_eq!(mailbox.next().await, MailboxItem::Message(Message::new("large one")));
    }
}
