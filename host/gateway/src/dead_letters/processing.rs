//! Redrives and deletes dead letters, in batches that bound the memory used by many or large ones.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use weir_config::records::DeadLetter;
use weir_pubsub::{BrowseStart, Browsed, Class, Cursor, Message, Page, PubsubError, Queue, QueueStats, chain};

use super::owners::{Owner, Owners};
use super::selection::{DeadLetterKey, Selection};
use super::{PAGE_COUNT, list_heads, queue, whole};
use crate::error::{GatewayError, Result};
use crate::gateway::Gateway;
use crate::protocol::{DeadLetterFailure, Position};

/// Dead letters in flight together: they share a commit.
const BATCH_COUNT: usize = 64;
/// Approximate total size of their bodies; a single one may be larger.
const BATCH_BYTES: u64 = 4 << 20;
/// Bodies up to this size are read together with the heads.
const SMALL_BYTES: usize = 16 << 10;
/// The number of failed dead letters that are described; all are counted.
const DESCRIBED_COUNT: usize = 100;
/// Maximum size of a description.
const DESCRIBED_BYTES: usize = 1 << 10;

/// The operation on dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Resend each to the queue that it came from.
    Redrive,
    /// Remove each.
    Delete,
}

/// The part of the queue to process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portion {
    /// Where to begin.
    pub(crate) start: BrowseStart,
    /// The last position to process; by default the newest one at the beginning, so that messages dead-lettered again meanwhile are not processed
    /// twice.
    pub(crate) through: Option<Cursor>,
    /// End after this many dead letters; the last page may add some. Ignored if cursors are not stable positions: processed ones would be read again.
    pub(crate) limit_count: Option<u32>,
}

/// The outcome for the selected dead letters.
#[derive(Debug, Default)]
pub(crate) struct BatchReport {
    pub(crate) done_count: u64,
    pub(crate) failed_count: u64,
    pub(crate) failures: Vec<DeadLetterFailure>,
    /// Where to continue, if the limit ended it.
    pub(crate) next_after: Option<Cursor>,
    /// The last position that is examined.
    pub(crate) through: Option<Cursor>,
}

/// A selected dead letter.
struct SelectedDeadLetter {
    head: Browsed,
    read: Option<DeadLetter>,
    owner: Option<Owner>,
}

/// Why a dead letter stays.
struct Refusal {
    kind: &'static str,
    message: String,
}

fn refusal<T>(kind: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { kind, message: message.into() })
}

/// Processes the selected dead letters. Failed ones stay and are reported; the others are processed.
///
/// # Errors
/// If the dead letters cannot be read at all. Those processed before stay processed.
///
/// # Cancel safety
/// Each dead letter is resent, deleted, or unchanged.
pub(crate) async fn work(
    gateway: &Gateway,
    action: Action,
    mut selection: Selection,
    owners: &Owners,
    portion: Portion,
) -> Result<BatchReport> {
    let mut work = BatchRun { gateway, action, owners, stuck: HashMap::new(), outcome: BatchReport::default() };
    if let Some(positions) = selection.only_positions() {
        for some in positions.chunks(BATCH_COUNT) {
            let mut found = Vec::new();
            for at in some.iter().copied() {
                let page = list_heads(gateway, BrowseStart::At(at), 1, work.body_bytes()).await?;
                found.extend(page.messages.into_iter().filter(|head| head.cursor == at && selection.takes(head, None)));
            }
            work.process_all(found).await?;
        }
    } else {
        work.scan_queue(&mut selection, portion).await?;
    }
    if work.outcome.next_after.is_none() {
        work.report_missing(&selection).await?;
    }
    Ok(work.outcome)
}

/// The dead letters to process: those that existed at the beginning.
struct Extent {
    /// If cursors are positions: the last one.
    through: Option<Cursor>,
    /// If they are not: those not seen yet. `None` if the queue is deeper than the broker can browse.
    unseen: Option<HashSet<Cursor>>,
    /// Dead letters without a position that were seen: one that is dead-lettered again meanwhile must not count as another.
    seen: HashSet<Cursor>,
    /// Whether all were seen.
    is_over: bool,
}

impl Extent {
    fn up_to(through: Option<Cursor>) -> Self {
        Extent { through, unseen: None, seen: HashSet::new(), is_over: false }
    }

    fn of(letters: Option<&[Browsed]>) -> Self {
        let unseen = letters.map(|letters| letters.iter().map(|dead_letter| dead_letter.cursor).collect());
        Extent { through: None, unseen, seen: HashSet::new(), is_over: false }
    }

    /// Whether to process a dead letter. Call it in the order of the queue.
    fn takes(&mut self, cursor: Cursor) -> bool {
        if cursor.is_position() {
            self.is_over |= self.through.is_some_and(|end| cursor >= end);
            return self.through.is_none_or(|end| cursor <= end);
        }
        let is_known = match &mut self.unseen {
            Some(unseen) => {
                let is_known = unseen.remove(&cursor);
                self.is_over = unseen.is_empty();
                is_known
            }
            None => true,
        };
        is_known && self.seen.insert(cursor)
    }
}

struct BatchRun<'a> {
    gateway: &'a Gateway,
    action: Action,
    owners: &'a Owners,
    /// Queues that cannot be sent to now, with the reason. Nothing more is sent to them, which keeps the order of their messages.
    stuck: HashMap<Queue, (&'static str, String)>,
    outcome: BatchReport,
}

impl BatchRun<'_> {
    /// How much of each body is read along with the heads.
    fn body_bytes(&self) -> usize {
        if self.action == Action::Redrive { SMALL_BYTES } else { 0 }
    }

    async fn scan_queue(&mut self, selection: &mut Selection, portion: Portion) -> Result<()> {
        let (mut start, mut through) = (portion.start, portion.through);
        let mut extent = None;
        let mut taken_count = 0;
        loop {
            let page = list_heads(self.gateway, start, PAGE_COUNT, self.body_bytes()).await?;
            through = through.or(page.newest);
            self.outcome.through = through;
            let Some(last) = page.messages.last().map(|head| head.cursor) else { return Ok(()) };
            let extent = match &mut extent {
                Some(extent) => extent,
                unknown => unknown.insert(self.extent(&page, through).await),
            };
            let mut selected = Vec::new();
            for head in page.messages.into_iter().filter(|head| extent.takes(head.cursor)) {
                let read = head.message.as_ref().ok().and_then(DeadLetter::of_message);
                let owner = read.as_ref().and_then(|read| self.owners.owner(read));
                if selection.takes(&head, owner.as_ref()) {
                    selected.push(head);
                }
            }
            taken_count += selected.len() as u64;
            self.process_all(selected).await?;
            if extent.is_over {
                return Ok(());
            }
            start = BrowseStart::Behind(last);
            // All named dead letters must be searched for, to find out which do not exist.
            if matches!(selection, Selection::Named { .. }) {
                continue;
            }
            if last.is_position() && portion.limit_count.is_some_and(|limit| taken_count >= u64::from(limit)) {
                self.outcome.next_after = Some(last);
                return Ok(());
            }
        }
    }

    /// What exists when the first page is read.
    async fn extent(&self, page: &Page, through: Option<Cursor>) -> Extent {
        if page.messages.iter().all(|head| head.cursor.is_position()) {
            return Extent::up_to(through);
        }
        if page.newest.is_some() {
            return Extent::of(Some(&page.messages));
        }
        let all = list_heads(self.gateway, BrowseStart::Oldest, u32::MAX, 0).await.ok();
        Extent::of(all.as_ref().map(|page| &*page.messages))
    }

    /// Processes these dead letters, one batch at a time.
    async fn process_all(&mut self, list_heads: Vec<Browsed>) -> Result<()> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for head in list_heads {
            if batch.len() >= BATCH_COUNT || (!batch.is_empty() && bytes + head.body_bytes > BATCH_BYTES) {
                self.batch(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += head.body_bytes;
            let read = head.message.as_ref().ok().and_then(DeadLetter::of_message);
            let owner = read.as_ref().and_then(|read| self.owners.owner(read));
            batch.push(SelectedDeadLetter { head, read, owner });
        }
        self.batch(batch).await
    }

    async fn batch(&mut self, batch: Vec<SelectedDeadLetter>) -> Result<()> {
        let from = queue(self.gateway)?;
        let mut ready = Vec::new();
        for dead_letter in batch {
            match self.prepare(&dead_letter).await {
                Ok(sent) => ready.push((dead_letter, sent)),
                Err(refusal) => self.fail(&dead_letter, refusal),
            }
        }
        let backend = &self.gateway.backend;
        let moves = ready.iter_mut().map(|(dead_letter, sent)| {
            let (named, from) = (dead_letter.head.named(), &from);
            let sent = sent.take();
            async move {
                match sent {
                    Some((to, message)) => (Some(to.clone()), backend.inspect().redrive(from, &named, &to, message).await),
                    None => (None, backend.inspect().remove(from, &named).await),
                }
            }
        });
        // All are started in order, which becomes the order of the target queue, unless that is full and being read: then a later one may find room
        // first.
        let moved = join_all(moves).await;
        for ((dead_letter, _), (to, outcome)) in ready.into_iter().zip(moved) {
            match outcome {
                Ok(true) => self.outcome.done_count += 1,
                Ok(false) => self.fail(&dead_letter, Refusal { kind: "gone", message: GONE.to_owned() }),
                Err(error) => {
                    let refusal = self.refused(&dead_letter, to, &error);
                    self.fail(&dead_letter, refusal);
                    if matches!(error, PubsubError::Unavailable { .. }) {
                        return Err(GatewayError::broker("the dead letters cannot be processed")(error));
                    }
                }
            }
        }
        Ok(())
    }

    /// The target of a dead letter and the message to send; `None` if it is to be deleted.
    async fn prepare(&self, dead_letter: &SelectedDeadLetter) -> Result<Option<(Queue, Message)>, Refusal> {
        if self.action == Action::Delete {
            return Ok(None);
        }
        let to = target(dead_letter, &queue(self.gateway).map_err(|error| Refusal { kind: "internal", message: chain(&error) })?)?;
        if let Some((kind, message)) = self.stuck.get(&to) {
            return refusal(kind, message.clone());
        }
        let head = &dead_letter.head;
        let message = match &head.message {
            Ok(message) if message.body.len() as u64 == head.body_bytes => message.clone(),
            _ => match whole(self.gateway, head.cursor).await {
                Ok(Some(found)) => found.message.map_err(|problem| Refusal { kind: "unreadable", message: problem })?,
                Ok(None) => return refusal("gone", GONE),
                Err(error) => return refusal("unreadable", chain(&error)),
            },
        };
        Ok(Some((to, DeadLetter::original(&message))))
    }

    /// Why a dead letter was not sent.
    fn refused(&mut self, dead_letter: &SelectedDeadLetter, to: Option<Queue>, error: &PubsubError) -> Refusal {
        let flows = dead_letter.owner.as_ref().map(|owner| owner.flows.join(", ")).unwrap_or_default();
        let (kind, message, is_stuck) = match (error, &to) {
            (PubsubError::QueueNotFound { .. }, Some(to)) => (
                "queue-missing",
                format!("queue {to} no longer exists: start flow {flows} again with this processor, or delete the letter"),
                true,
            ),
            (PubsubError::QueueFull { .. }, Some(_)) => {
                ("queue-full", format!("{}: resend the letter when there is space", chain(error)), true)
            }
            (PubsubError::QueueNotFound { .. }, None) => ("gone", GONE.to_owned(), false),
            (PubsubError::TooLarge { .. }, _) => {
                ("too-large", format!("{}: raise broker.max-message, or delete the letter", chain(error)), false)
            }
            (PubsubError::OutcomeUnknown { .. }, _) => ("outcome-unknown", chain(error), false),
            (error, _) => ("unavailable", chain(error), false),
        };
        if let (Some(to), true) = (to, is_stuck) {
            self.stuck.insert(to, (kind, message.clone()));
        }
        Refusal { kind, message }
    }

    fn fail(&mut self, dead_letter: &SelectedDeadLetter, refusal: Refusal) {
        let (read, owner) = (dead_letter.read.as_ref(), dead_letter.owner.as_ref());
        let id = dead_letter.head.message.as_ref().ok().and_then(|message| message.id);
        self.add(DeadLetterFailure {
            position: Some(dead_letter.head.cursor.into()),
            id: id.map(|id| id.to_string()),
            flows: owner.map(|owner| owner.flows.clone()).unwrap_or_default(),
            topic: read.map(|read| cut(&read.topic)),
            subscription: read.map(|read| cut(&read.subscription)),
            kind: refusal.kind.to_owned(),
            message: cut(&refusal.message),
        });
    }

    fn add(&mut self, failure: DeadLetterFailure) {
        self.outcome.failed_count += 1;
        if self.outcome.failures.len() < DESCRIBED_COUNT {
            self.outcome.failures.push(failure);
        }
    }

    /// Reports named dead letters that do not exist, and those that cannot be seen.
    async fn report_missing(&mut self, selection: &Selection) -> Result<()> {
        for wanted in selection.missing() {
            let (position, id) = match wanted {
                DeadLetterKey::Position(position) => (Some(position), None),
                DeadLetterKey::Id(id) => (None, Some(id.to_string())),
            };
            let name = position.map(|position| position.to_string()).or_else(|| id.clone()).unwrap_or_default();
            let message = format!("dead letter `{name}` does not exist, or a consumer of the dead-letter queue is reading it");
            self.add(DeadLetterFailure { position: position.map(Position::from), id, message, ..DeadLetterFailure::of("not-found") });
        }
        if matches!(selection, Selection::Named { .. }) {
            return Ok(());
        }
        let stats = match self.gateway.backend.inspect().stats(&queue(self.gateway)?).await {
            // Without the queue there are no dead letters.
            Err(PubsubError::QueueNotFound { .. }) => return Ok(()),
            stats => stats.unwrap_or_default(),
        };
        if let Some(message) = in_flight(&stats) {
            self.add(DeadLetterFailure { message, ..DeadLetterFailure::of("in-progress") });
        }
        Ok(())
    }
}

/// Dead letters that were not examined because a consumer holds them, for people. Unknown figures count as dead letters in flight, unless there is no
/// consumer.
fn in_flight(stats: &QueueStats) -> Option<String> {
    match stats.unsettled_count {
        Some(0) => None,
        Some(count) => Some(format!("{count} letters are being read by a consumer of the dead-letter queue and were skipped")),
        None if !stats.may_have_consumers() || !stats.may_hold_messages() => None,
        None => {
            Some("the dead-letter queue may have a consumer: letters that it is reading were skipped and could not be counted".to_owned())
        }
    }
}

const GONE: &str = "it was resent, deleted or taken by a consumer in the meantime";

/// The queue that a dead letter came from, if it can be sent there.
fn target(dead_letter: &SelectedDeadLetter, letters: &Queue) -> Result<Queue, Refusal> {
    if let Err(problem) = &dead_letter.head.message {
        return refusal("unreadable", problem.clone());
    }
    let Some(read) = &dead_letter.read else {
        return refusal("foreign", "it has no properties `weir-dead-topic` and `weir-dead-subscription`, so its origin is unknown");
    };
    if let Some(cut) = read.cut {
        return refusal(
            "incomplete",
            format!("it lost {cut} when it became a dead letter, so the original message cannot be resent: delete it"),
        );
    }
    let parsed = (read.topic.parse(), read.subscription.parse());
    let (Ok(topic), Ok(subscription)) = parsed else {
        return refusal("foreign", "its properties `weir-dead-topic` and `weir-dead-subscription` do not name a queue");
    };
    match Queue::new(topic, subscription) {
        Ok(queue) if queue.topic().class() == Class::Flow && queue != *letters => Ok(queue),
        _ => refusal("foreign", "its properties `weir-dead-topic` and `weir-dead-subscription` do not name a queue of a processor"),
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(DESCRIBED_BYTES)].to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn place(number: u32) -> Cursor {
        number.to_string().parse().unwrap()
    }

    fn id(number: u32) -> Cursor {
        format!("{number:032x}").parse().unwrap()
    }

    fn taken(extent: &mut Extent, cursors: &[Cursor]) -> Vec<Cursor> {
        cursors.iter().copied().filter(|cursor| extent.takes(*cursor)).collect()
    }

    fn dead_letter(cursor: Cursor) -> Browsed {
        Browsed { cursor, message: Ok(Message::new("letter")), body_bytes: 0 }
    }

    #[test]
    fn letters_that_arrive_meanwhile_are_left() {
        let mut extent = Extent::up_to(Some(place(3)));
        assert_eq!(taken(&mut extent, &[place(1), place(2)]), [place(1), place(2)]);
        assert!(!extent.is_over);
        assert!(taken(&mut extent, &[place(4)]).is_empty(), "the last one is gone, and this one is newer");
        assert!(extent.is_over);
        let mut extent = Extent::of(Some(&[id(7), id(5), id(6)].map(dead_letter)));
        assert_eq!(taken(&mut extent, &[id(7), id(5), id(4)]), [id(7), id(5)]);
        assert!(!extent.is_over);
        assert_eq!(taken(&mut extent, &[id(6), id(3)]), [id(6)]);
        assert!(extent.is_over);
    }

    #[test]
    fn a_letter_without_a_place_is_worked_on_once() {
        for mut extent in [Extent::of(None), Extent::of(Some(&[id(1), id(2), id(3)].map(dead_letter)))] {
            assert_eq!(taken(&mut extent, &[id(1), id(2), id(1)]), [id(1), id(2)]);
            assert!(!extent.is_over);
        }
    }
}
