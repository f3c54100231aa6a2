//! `weir dev`: from an edit to a running flow.

mod listening;
mod round;
mod stage;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use weir_project::Snapshot;

use self::round::Rounds;
use crate::args::{Dev, Reach};
use crate::output::{self, Format};
use crate::problem;
use crate::shutdown::Signals;

/// How often the sources are looked at: a poll of some hundred files takes less than a millisecond, and sees changes on every file system.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs until a signal comes. An error of a round is told, and the next change begins another one.
pub(crate) async fn run(data: &Path, reach: &Reach, format: Format, command: Dev) -> Result<()> {
    let mut signals = Signals::catch()?;
    let mut rounds = Rounds::new(data, reach, &command)?;
    let (mut seen, mut pending) = (Snapshot::default(), None);
    loop {
        let now = Snapshot::of(&command.folder);
        // An editor writes a file in several steps: a change counts once nothing more changes.
        if now != seen && pending.as_ref() == Some(&now) {
            let changed = now.changed_since(&seen);
            let is_first = seen == Snapshot::default();
            seen = now;
            pending = None;
            let round = rounds.run(&changed, is_first);
            let ended = tokio::select! {
                ended = round => ended,
                _ = signals.next() => return Ok(()),
            };
            match ended {
                Err(error) if is_first && rounds.is_hopeless(&error) => return Err(error.into()),
                Err(error) => {
                    let _ = problem::report(&error.into(), format == Format::Json);
                }
                Ok(()) => {}
            }
            output::line("waiting for changes (Ctrl-C ends)")?;
        } else {
            pending = (now != seen).then_some(now);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = signals.next() => return Ok(()),
        }
    }
}
