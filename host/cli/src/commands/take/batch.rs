//! Passes messages from the stream to the output, and tracks which of them the output has received.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::client::{Lines, line_end, of_answer};
use crate::message::Line;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// Messages that arrived together, in output format.
#[derive(Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    /// For each message that is not [moved](Batch::fill) yet, its end in the bytes and its receipt.
    ends: VecDeque<(usize, u64)>,
    /// The bytes of moved messages.
    start: usize,
}

impl Messages {
    /// Whether all of them are in a batch.
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds the message of a line.
    fn add(&mut self, line: &[u8], format: Format) -> Result<(), Problem> {
        let broken = || {
            let shown = output::cut(&String::from_utf8_lossy(line), 200);
            Problem::new(Exit::Failed, format!("a line of the stream is not a message: {shown}"))
        };
        let read = Line::read(line).map_err(|error| broken().because(error))?;
        if let Some(error) = read.error() {
            return Err(of_answer(error));
        }
        let receipt = read.receipt.filter(|_| read.is_message()).ok_or_else(broken)?;
        match format {
            Format::Text => read.write_body(&mut self.bytes),
            Format::Json => read.write_json(&mut self.bytes),
        }
        self.ends.push_back((self.bytes.len(), receipt));
        Ok(())
    }
}

/// Reads the stream ahead of the output, until it ends.
pub(super) async fn read(
    mut lines: Lines,
    format: Format,
    messages: mpsc::Sender<Messages>,
    failed: CancellationToken,
) -> Result<(), Problem> {
    let outcome = async {
        while let Some(lines) = lines.next_all().await? {
            let (together, read) = messages_of(&lines, format);
            if !together.is_empty() && messages.send(together).await.is_err() {
                return Ok(());
            }
            read?;
        }
        Ok(())
    };
    let outcome = outcome.await;
    if outcome.is_err() {
        failed.cancel();
    }
    outcome
}

/// The messages of lines, up to the first line that is not a message.
fn messages_of(mut lines: &[u8], format: Format) -> (Messages, Result<(), Problem>) {
    let mut messages = Messages { bytes: Vec::with_capacity(lines.len()), ..Messages::default() };
    while let Some(end) = line_end(lines) {
        let (line, others) = lines.split_at(end);
        if let Err(problem) = messages.add(&line[..end - 1], format) {
            return (messages, Err(problem));
        }
        lines = others;
    }
    (messages, Ok(()))
}

/// Messages that are written together.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// For each message, its end in the bytes and its receipt.
    ends: VecDeque<(usize, u64)>,
    /// The bytes of acknowledged messages.
    start: usize,
}

impl Batch {
    fn count(&self) -> usize {
        self.ends.len()
    }

    /// Whether one more message may be added.
    pub(super) fn has_room(&self, limit_count: usize, limit_bytes: usize) -> bool {
        self.ends.len() < limit_count && self.bytes.len() < limit_bytes
    }

    /// Takes the bytes out for writing.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Appends messages, as many as fit.
    pub(super) fn fill(&mut self, messages: &mut Messages, limit_count: usize, limit_bytes: usize) {
        let (start, moved) = (messages.start, self.bytes.len());
        while let Some((end, receipt)) = messages.ends.front().copied()
            && (self.count() == 0 || self.count() < limit_count && moved + messages.start - start < limit_bytes)
        {
            messages.ends.pop_front();
            messages.start = end;
            self.ends.push_back((moved + end - start, receipt));
        }
        self.bytes.extend_from_slice(&messages.bytes[start..messages.start]);
    }

    /// The receipt of the last message that is complete within `out_bytes`, unless it was returned before.
    pub(super) fn whole(&mut self, out_bytes: usize) -> Option<u64> {
        let mut last = None;
        while let Some((end, receipt)) = self.ends.front().copied().filter(|(end, _)| *end <= out_bytes) {
            self.ends.pop_front();
            self.start = end;
            last = Some(receipt);
        }
        last
    }

    /// How many of `out_bytes` do not belong to a complete message.
    pub(super) fn bytes_behind(&self, out_bytes: usize) -> usize {
        out_bytes.saturating_sub(self.start)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn messages(receipt: u64, bodies: &[&str]) -> Messages {
        let line = |(at, body)| format!("{{\"receipt\":{at},\"id\":\"a\",\"properties\":{{}},\"text\":\"{body}\"}}\n");
        let lines: String = (receipt..).zip(bodies).map(line).collect();
        let (messages, read) = messages_of(lines.as_bytes(), Format::Text);
        read.unwrap();
        messages
    }

    #[test]
    fn a_batch_has_at_least_one_message_and_fits_its_limits() {
        let (mut first, mut second) = (messages(1, &["one", "two", "three"]), messages(4, &["four", "five"]));
        let mut next = |limit_count, limit_bytes| {
            let mut batch = Batch::default();
            batch.fill(&mut first, limit_count, limit_bytes);
            batch.fill(&mut second, limit_count, limit_bytes);
            let last = batch.ends.back().map(|(_, receipt)| *receipt);
            (String::from_utf8(batch.take_bytes()).unwrap(), last)
        };
        assert_eq!(next(1, 100), ("one\n".to_owned(), Some(1)));
        assert_eq!(next(100, 0), ("two\n".to_owned(), Some(2)));
        assert_eq!(next(2, 100), ("three\nfour\n".to_owned(), Some(4)));
        assert_eq!(next(100, 100), ("five\n".to_owned(), Some(5)));
        assert_eq!(next(100, 100), (String::new(), None));
    }

    #[test]
    fn messages_before_an_invalid_line_are_kept() {
        let lines = b"{\"receipt\":1,\"id\":\"a\",\"properties\":{},\"body\": 1 }\nnope\n";
        let (messages, read) = messages_of(lines, Format::Text);
        assert!(!messages.is_empty() && read.is_err());
    }

    #[test]
    fn only_complete_messages_are_acknowledged_once() {
        let mut batch = Batch::default();
        batch.fill(&mut messages(4, &["one", "two", "three"]), 3, 100);
        assert_eq!((batch.whole(3), batch.bytes_behind(3)), (None, 3));
        assert_eq!((batch.whole(9), batch.bytes_behind(9)), (Some(5), 1));
        assert_eq!((batch.whole(9), batch.bytes_behind(9)), (None, 1));
        assert_eq!((batch.whole(14), batch.bytes_behind(14)), (Some(6), 0));
    }
}
