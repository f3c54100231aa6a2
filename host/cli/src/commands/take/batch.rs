//! Messages from the stream to the output, and which of them the output has.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::client::{Lines, of_answer};
use crate::message::Line;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// A message as it is written.
pub(super) struct Message {
    /// The number to acknowledge it by.
    receipt: u64,
    /// With its line end.
    bytes: Vec<u8>,
}

/// Reads the stream ahead of the output, until it ends.
pub(super) async fn read(
    mut lines: Lines,
    format: Format,
    messages: mpsc::Sender<Message>,
    failed: CancellationToken,
) -> Result<(), Problem> {
    let outcome = async {
        while let Some(line) = lines.next().await? {
            let message = message_of(&line, format)?;
            if messages.send(message).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        failed.cancel();
    }
    outcome
}

fn message_of(line: &[u8], format: Format) -> Result<Message, Problem> {
    let broken = || {
        Problem::new(Exit::Failed, format!("a line of the stream is not a message: {}", output::cut(&String::from_utf8_lossy(line), 200)))
    };
    let read = Line::read(line).map_err(|error| broken().because(error))?;
    if let Some(error) = read.error() {
        return Err(of_answer(error));
    }
    let receipt = read.receipt.filter(|_| read.is_message()).ok_or_else(broken)?;
    let mut bytes = Vec::with_capacity(line.len());
    match format {
        Format::Text => read.write_body(&mut bytes),
        Format::Json => read.write_json(&mut bytes),
    }
    Ok(Message { receipt, bytes })
}

/// Messages that are written together.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where each message ends in the bytes, and its receipt.
    ends: VecDeque<(usize, u64)>,
    /// Bytes of those that are acknowledged.
    start: usize,
}

impl Batch {
    /// How many messages are in it that are not acknowledged.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// Their size.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the bytes out, to be written.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Adds a message behind the others.
    pub(super) fn add(&mut self, message: Message) {
        self.bytes.extend_from_slice(&message.bytes);
        self.ends.push_back((self.bytes.len(), message.receipt));
    }

    /// The receipt of the last message that is whole within so many bytes, unless it was told before.
    pub(super) fn whole(&mut self, out_bytes: usize) -> Option<u64> {
        let mut last = None;
        while let Some((end, receipt)) = self.ends.front().copied().filter(|(end, _)| *end <= out_bytes) {
            self.ends.pop_front();
            self.start = end;
            last = Some(receipt);
        }
        last
    }

    /// How much of so many bytes belongs to no whole message.
    pub(super) fn bytes_behind(&self, out_bytes: usize) -> usize {
        out_bytes.saturating_sub(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_messages_are_acknowledged_and_each_once() {
        let mut batch = Batch::default();
        for (receipt, bytes) in [(4, "one\n"), (5, "two\n"), (6, "three\n")] {
            batch.add(Message { receipt, bytes: bytes.as_bytes().to_vec() });
        }
        assert_eq!((batch.whole(3), batch.bytes_behind(3)), (None, 3));
        assert_eq!((batch.whole(9), batch.bytes_behind(9)), (Some(5), 1));
        assert_eq!((batch.whole(9), batch.bytes_behind(9)), (None, 1));
        assert_eq!((batch.whole(14), batch.bytes_behind(14)), (Some(6), 0));
    }
}
