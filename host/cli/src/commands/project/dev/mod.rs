//! `weir dev`: from an edit to a running flow.

mod borrowed_processor;
mod cycle;
mod dev_weir;
mod output_tap;
mod status_line;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use weir_project::Snapshot;

use self::cycle::DevCycles;
use super::print_note;
use crate::args::{Dev, Reach};
use crate::output::{self, Format};
use crate::report;
use crate::shutdown::Signals;

/// How often the sources are polled: polling some hundred files takes less than a millisecond, and detects changes on every file system.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Runs until a signal arrives. Errors of a cycle are reported, and the next change starts another one.
pub(crate) async fn run(data: &Path, reach: &Reach, format: Format, command: Dev) -> Result<()> {
    let mut signals = Signals::catch()?;
    let mut cycles = DevCycles::new(data, reach, &command)?;
    let watched = watch(&mut cycles, &command, format, &mut signals).await;
    let (ended, _) = finish_or_break(cycles.end(), &mut signals).await;
    watched.and(ended.unwrap_or(Ok(())).map_err(Into::into))
}

/// Starts a cycle on each change, until a signal arrives.
async fn watch(cycles: &mut DevCycles<'_>, command: &Dev, format: Format, signals: &mut Signals) -> Result<()> {
    let (mut seen, mut pending) = (Snapshot::default(), None);
    loop {
        let now = Snapshot::of(&command.folder);
        // Editors write a file in several steps: a change counts once the files are stable.
        if now != seen && pending.as_ref() == Some(&now) {
            let changed = now.changed_since(&seen);
            let is_first = seen == Snapshot::default();
            seen = now;
            pending = None;
            let made = tokio::select! {
                made = cycles.make(&changed, is_first) => made,
                _ = signals.next() => return Ok(()),
            };
            let (ended, is_over) = match made {
                Ok(made) => finish_or_break(cycles.deploy(&made), signals).await,
                Err(problem) => (Some(Err(problem)), false),
            };
            match ended {
                Some(Err(error)) if is_first && cycles.is_hopeless(&error) => return Err(error.into()),
                Some(Err(error)) => {
                    let _ = report::report(&error.into(), format == Format::Json);
                }
                Some(Ok(())) | None => {}
            }
            if is_over {
                return Ok(());
            }
            output::line("waiting for changes (Ctrl-C to stop)")?;
        } else {
            pending = (now != seen).then_some(now);
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            _ = signals.next() => return Ok(()),
        }
    }
}

/// Completes work that changes a running Weir even if a signal arrives; a second signal cancels it. Returns the result, and whether there was a
/// signal.
async fn finish_or_break<T>(work: impl Future<Output = T>, signals: &mut Signals) -> (Option<T>, bool) {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return (Some(done), false),
        _ = signals.next() => print_note("finishing the deployment first; press Ctrl-C again to abort it"),
    }
    tokio::select! {
        done = &mut work => (Some(done), true),
        _ = signals.next() => (None, true),
    }
}
