//! Progress of work that takes longer than a second: one line on the terminal that is updated in place and removed when the work is done.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::output::{self, Format};

/// Work that is done by then does not show progress.
const SILENT: Duration = Duration::from_secs(1);
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Returns to the start of the line, and clears it.
const REDRAW: &str = "\r\u{1b}[K";

/// The progress of some work. Clones share their count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done_bytes: AtomicU64,
    /// 0 if unknown.
    total_bytes: AtomicU64,
    unit: Unit,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Unit {
    #[default]
    Bytes,
    Things,
}

impl Counter {
    /// A counter with a known total.
    pub(crate) fn of_total(total_bytes: u64) -> Self {
        let counter = Counter::default();
        counter.0.total_bytes.store(total_bytes, Ordering::Relaxed);
        counter
    }

    /// A counter of things instead of bytes.
    pub(crate) fn of_things() -> Self {
        Counter(Arc::new(Counts { unit: Unit::Things, ..Counts::default() }))
    }

    /// Counts what was done.
    pub(crate) fn add(&self, bytes: u64) {
        self.0.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Executes work and shows its progress, on a terminal and only in text format.
pub(crate) async fn during<T>(format: Format, what: &str, counter: &Counter, work: impl Future<Output = T>) -> T {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if format == Format::Json || is_dumb || !io::stderr().is_terminal() {
        return work.await;
    }
    let began = Instant::now();
    let mut ticks = interval_at(began + SILENT, DRAW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut work = pin!(work);
    let mut is_drawn = false;
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                if is_drawn {
                    draw(REDRAW);
                }
                return done;
            }
            _ = ticks.tick() => {
                let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
                draw(&format!("{REDRAW}{}", output::cut(&line(what, began.elapsed(), counter), width.saturating_sub(1))));
                is_drawn = true;
            }
        }
    }
}

/// A closed standard error is ignored.
fn draw(text: &str) {
    let mut out = io::stderr().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

fn line(what: &str, elapsed: Duration, Counter(counts): &Counter) -> String {
    let (done, total) = (counts.done_bytes.load(Ordering::Relaxed), counts.total_bytes.load(Ordering::Relaxed));
    let seconds = elapsed.as_secs();
    if done == 0 {
        return format!("{what} ... {seconds} s");
    }
    if counts.unit == Unit::Things {
        return format!("{what}: {} done, {seconds} s", output::number(done));
    }
    let rate = output::size((done as f64 / elapsed.as_secs_f64()) as u64);
    let amount = match total {
        0 => output::size(done),
        // Everything is sent, and the answer is awaited.
        total if done >= total => return format!("{what}: {} sent, waiting for the answer ... {seconds} s", output::size(total)),
        total => format!("{} of {}", output::size(done), output::size(total)),
    };
    format!("{what}: {amount}, {rate}/s, {seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_figures_are_shown() {
        let check = |counter: &Counter| line("sending", Duration::from_secs(4), counter);
        let open = Counter::default();
        assert_eq!(check(&open), "sending ... 4 s");
        open.add(8 << 20);
        assert_eq!(check(&open), "sending: 8.0 MiB, 2.0 MiB/s, 4 s");
        let things = Counter::of_things();
        things.add(2_000);
        assert_eq!(check(&things), "sending: 2,000 done, 4 s");
        let closed = Counter::of_total(16 << 20);
        closed.add(8 << 20);
        assert_eq!(check(&closed), "sending: 8.0 MiB of 16.0 MiB, 2.0 MiB/s, 4 s");
        closed.add(8 << 20);
        assert_eq!(check(&closed), "sending: 16.0 MiB sent, waiting for the answer ... 4 s");
    }
}
