//! Messages that were delivered so often without being settled that they may be crashing their hosts. A host may also be killed from
//! outside, so an attempt counts against a message only if it began under a note in a file and had no outcome, and only one such attempt is
//! made at a time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_pubsub::{MessageId, Subscription};

/// Attempts under a note without an outcome before a message is given up.
pub(crate) const MAX_TRIALS_COUNT: u32 = 3;

/// Notes that are kept. Those of messages settled meanwhile by another host stay until there are this many newer ones.
const KEPT_COUNT: usize = 1_024;

/// The notes of one host.
#[derive(Clone, Debug)]
pub(crate) struct Suspects {
    folder: PathBuf,
    turn: Arc<Semaphore>,
}

/// One attempt under a note.
#[derive(Debug)]
pub(crate) struct Trial {
    note: PathBuf,
    _turn: OwnedSemaphorePermit,
}

/// The name of a message's note: identifies the message within one subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoteName(MessageId);

impl NoteName {
    pub(crate) fn new(id: MessageId, subscription: &Subscription) -> Self {
        NoteName(id.of_output(subscription.as_str(), u32::MAX))
    }
}

impl Suspects {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Suspects { folder, turn: Arc::new(Semaphore::new(1)) }
    }

    /// How many attempts at this message had no outcome.
    pub(crate) async fn trials_count(&self, name: NoteName) -> u32 {
        let note = self.note(name);
        blocking(move || Ok(read(&note))).await.unwrap_or(0)
    }

    /// Waits until no attempt under a note is in progress.
    ///
    /// # Cancel safety
    /// Dropping the future loses only the turn.
    pub(crate) async fn turn(&self) -> OwnedSemaphorePermit {
        self.turn.clone().acquire_owned().await.expect("it is never closed")
    }

    /// Begins an attempt in its turn: it counts from here on, until its end is recorded.
    ///
    /// # Errors
    /// When the note cannot be written; the attempt must not be made then.
    ///
    /// # Cancel safety
    /// No: the note may be written, and count, nevertheless.
    pub(crate) async fn begin(&self, name: NoteName, turn: OwnedSemaphorePermit) -> io::Result<Trial> {
        let (folder, note) = (self.folder.clone(), self.note(name));
        let written = note.clone();
        blocking(move || write(&folder, &written, read(&written) + 1)).await?;
        Ok(Trial { note, _turn: turn })
    }

    /// Forgets a message that was given up.
    pub(crate) async fn forget(&self, name: NoteName) {
        remove(self.note(name)).await;
    }

    fn note(&self, name: NoteName) -> PathBuf {
        self.folder.join(name.0.to_string())
    }
}

impl Trial {
    /// The host is alive and the attempt had an outcome, so it does not count. A dropped trial does.
    pub(crate) async fn end(self) {
        remove(self.note).await;
    }
}

async fn remove(note: PathBuf) {
    if let Err(error) = blocking(move || fs::remove_file(note)).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(error = %weir_pubsub::chain(&error), "record of a suspect message not removed");
    }
}

/// An unreadable note counts as zero: the message then gets more attempts.
fn read(note: &Path) -> u32 {
    fs::read_to_string(note).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn write(folder: &Path, note: &Path, count: u32) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let part = note.with_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(count.to_string().as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, note)?;
    keep_newest(folder, KEPT_COUNT)?;
    File::open(folder)?.sync_all()
}

/// Removes the oldest files beyond a number.
fn keep_newest(folder: &Path, kept_count: usize) -> io::Result<()> {
    let mut notes = Vec::new();
    for note in fs::read_dir(folder)?.flatten() {
        // A file that is already gone needs no removal.
        if let Ok(written) = note.metadata().and_then(|note| note.modified()) {
            notes.push((written, note.path()));
        }
    }
    notes.sort_unstable();
    let spare_count = notes.len().saturating_sub(kept_count);
    for (_, note) in notes.into_iter().take(spare_count) {
        match fs::remove_file(note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_unfinished_attempts_count_and_they_run_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let suspects = Suspects::new(folder.path().join("suspects"));
        let name = |id| NoteName::new(MessageId(id), &"p--v--input".parse().unwrap());
        let trial = suspects.begin(name(1), suspects.turn().await).await.unwrap();
        let other = suspects.turn();
        tokio::pin!(other);
        assert!(futures_util::poll!(&mut other).is_pending());
        // The host ends here.
        drop(trial);
        let other = suspects.begin(name(2), other.await).await.unwrap();
        assert_eq!((suspects.trials_count(name(1)).await, suspects.trials_count(name(2)).await), (1, 1));
        other.end().await;
        drop(suspects.begin(name(1), suspects.turn().await).await.unwrap());
        assert_eq!((suspects.trials_count(name(1)).await, suspects.trials_count(name(2)).await), (2, 0));
        suspects.forget(name(1)).await;
        assert_eq!(suspects.trials_count(name(1)).await, 0);
    }

    #[test]
    fn notes_of_messages_that_nobody_asks_for_any_more_do_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        let note = |number: u64| folder.path().join(number.to_string());
        for number in [3, 1, 4, 2] {
            let written = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number);
            File::create(note(number)).unwrap().set_modified(written).unwrap();
        }
        keep_newest(folder.path(), 4).unwrap();
        assert!(note(1).exists());
        keep_newest(folder.path(), 2).unwrap();
        assert_eq!([1, 2, 3, 4].map(|number| note(number).exists()), [false, false, true, true]);
    }
}
