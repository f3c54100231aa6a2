//! `weir take`: takes messages out of an exit; each is acknowledged once the output has received it.

mod batch;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use weir_gateway::protocol::{Acknowledge, Acknowledged, LeaseLine, TakeRequest};

use self::batch::{Batch, Messages, read};
use super::Session;
use crate::args::Take;
use crate::client::{Lines, escaped, of_answer};
use crate::message::Line;
use crate::problem::{Exit, Problem};
use crate::shutdown::Signals;
use crate::sink::{Progress, Sink, WriteOutcome, reader_gone};

/// Maximum size of a batch of more than one message that is written before it is acknowledged.
const BATCH_BYTES: usize = 64 << 10;
/// Maximum number of messages in a batch: half of what may be unacknowledged; the other half is in flight meanwhile.
const BATCH_COUNT: usize = 512;
/// Maximum number of chunks of the stream read ahead, with at least one message each: everything that the gateway delivers without an
/// acknowledgement.
const READ_AHEAD_COUNT: usize = 1024;
/// How long to wait for the reason of a refused acknowledgement, which the stream contains.
const REASON_TIME: Duration = Duration::from_secs(2);
/// How often a batch that is blocked on its reader is checked: what the reader has received is acknowledged, which renews the lease.
const PART_TIME: Duration = Duration::from_secs(1);
/// How long to wait for a cancelled write.
const CANCEL_TIME: Duration = Duration::from_secs(2);
/// How long to wait for requeuing, which closing the connection also does.
const END_TIME: Duration = Duration::from_secs(5);

/// Runs the command, and returns the exit code.
pub(crate) async fn run(session: &Session, command: Take) -> Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let gone = reader_gone()?;
    let path = format!("/api/v1/weir/flows/{}/exits/{}", escaped(&command.flow), escaped(&command.interface));
    let wait_ms = (command.count.is_none() && !command.follow).then_some(0);
    let lease_ms = command.lease.map(|lease| lease.as_millis() as u64);
    let wanted = serde_json::to_vec(&TakeRequest { count: command.count, wait_ms, lease_ms })?;
    let take = format!("{path}/take");
    let mut lines = tokio::select! {
        lines = session.client.lines_of(&take, wanted) => lines?,
        signal = signals.next() => return Ok(code_of(signal)),
        () = gone.cancelled() => return Ok(ExitCode::SUCCESS),
    };
    let lease = lease_of(&mut lines).await?;
    let (messages, received) = mpsc::channel(READ_AHEAD_COUNT);
    let stream_failed = CancellationToken::new();
    let reader = tokio::spawn(read(lines, session.format, messages, stream_failed.clone()));
    let taking = Taking {
        session,
        path,
        lease,
        sink: Arc::new(Sink::new(io::stdout())?),
        signals,
        gone,
        stream_failed,
        received,
        pending: Messages::default(),
        reader,
    };
    taking.run().await
}

/// The first line of the stream.
async fn lease_of(lines: &mut Lines) -> Result<String> {
    let unreadable = || {
        Problem::new(Exit::Unavailable, "the stream has no lease").next("check that `weir` and the running Weir are of the same version")
    };
    let line = lines.next().await?.ok_or_else(unreadable)?;
    if let Some(error) = Line::read(&line).ok().as_ref().and_then(Line::error) {
        return Err(of_answer(error).into());
    }
    Ok(serde_json::from_slice::<LeaseLine>(&line).map_err(|error| unreadable().because(error))?.lease)
}

/// How taking ends.
enum Last {
    /// The stream has ended, and everything is acknowledged.
    Done,
    /// The reader of the output has exited.
    Gone,
    /// A signal.
    Signal(&'static str),
    /// The stream was interrupted or ended with an error.
    StreamFailed,
    /// Another problem.
    Failed(Problem),
}

struct Taking<'a> {
    session: &'a Session,
    path: String,
    lease: String,
    sink: Arc<Sink<io::Stdout>>,
    signals: Signals,
    gone: CancellationToken,
    /// Cancelled when the stream was interrupted.
    stream_failed: CancellationToken,
    received: mpsc::Receiver<Messages>,
    /// Messages that were received and are not in a batch yet.
    pending: Messages,
    reader: JoinHandle<Result<(), Problem>>,
}

impl Taking<'_> {
    async fn run(mut self) -> Result<ExitCode> {
        let last = self.pump().await;
        let ended = match last {
            Last::Done => return self.stream_end().await.map(|()| ExitCode::SUCCESS),
            Last::Gone => Ok(ExitCode::SUCCESS),
            Last::Signal(signal) => Ok(code_of(signal)),
            Last::StreamFailed => {
                let problem = self.stream_end().await.err().unwrap_or_else(|| anyhow::anyhow!("the stream ended"));
                return Err(problem);
            }
            Last::Failed(problem) => Err(problem.into()),
        };
        // Everything unacknowledged is back in the exit when this completes.
        let end = self.acknowledge(0, End::Now);
        let _ = timeout(END_TIME, end).await;
        ended
    }

    /// Writes and acknowledges batches until the end.
    async fn pump(&mut self) -> Last {
        let mut limit_count = 1;
        loop {
            let more = tokio::select! {
                biased;
                signal = self.signals.next() => return Last::Signal(signal),
                () = self.gone.cancelled() => return Last::Gone,
                more = more(&mut self.pending, &mut self.received) => more,
            };
            if !more {
                return if self.stream_failed.is_cancelled() { Last::StreamFailed } else { Last::Done };
            }
            let batch = self.batch(limit_count);
            if let Some(last) = self.put(batch).await {
                return last;
            }
            limit_count = (limit_count * 2).min(BATCH_COUNT);
        }
    }

    /// The messages already available, up to a limit.
    fn batch(&mut self, limit_count: usize) -> Batch {
        let mut batch = Batch::default();
        batch.fill(&mut self.pending, limit_count, BATCH_BYTES);
        while batch.has_room(limit_count, BATCH_BYTES)
            && let Ok(messages) = self.received.try_recv()
        {
            self.pending = messages;
            batch.fill(&mut self.pending, limit_count, BATCH_BYTES);
        }
        batch
    }

    /// Writes a batch and acknowledges what the output has received; `None`: all of it.
    async fn put(&mut self, mut batch: Batch) -> Option<Last> {
        let progress = Arc::new(Progress::default());
        let bytes = batch.take_bytes();
        let mut writing = tokio::task::spawn_blocking({
            let (sink, progress) = (self.sink.clone(), progress.clone());
            move || sink.put(&bytes, &progress)
        });
        let mut parts = interval(PART_TIME);
        parts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        parts.reset();
        let (put, last) = loop {
            tokio::select! {
                biased;
                put = &mut writing => break (put.ok(), None),
                signal = self.signals.next() => break (cancelled(&progress, writing).await, Some(Last::Signal(signal))),
                () = self.stream_failed.cancelled() => break (cancelled(&progress, writing).await, Some(Last::StreamFailed)),
                _ = parts.tick() => if let Some(through) = batch.whole(progress.out_bytes())
                    && let Err(problem) = self.acknowledge(through, End::Later).await {
                        let _ = cancelled(&progress, writing).await;
                        return Some(self.reason(problem).await);
                },
            }
        };
        let out_bytes = progress.out_bytes();
        let written = batch.whole(out_bytes);
        if matches!(put, Some(WriteOutcome::Failed(_))) {
            self.sink.take_back(batch.bytes_behind(out_bytes));
        }
        if let Some(through) = written
            && let Err(problem) = self.acknowledge(through, End::Later).await
        {
            return Some(self.reason(problem).await);
        }
        match (last, put) {
            (Some(last), _) => Some(last),
            (None, Some(WriteOutcome::All)) => None,
            (None, Some(WriteOutcome::Gone | WriteOutcome::Cancelled)) => Some(Last::Gone),
            (None, Some(WriteOutcome::Failed(error))) => {
                let problem = Problem::new(Exit::Failed, "the output cannot be written").because(error);
                Some(Last::Failed(
                    problem.next("messages that were not written are back in the exit: run it again once the output accepts them"),
                ))
            }
            (None, None) => Some(Last::Failed(Problem::new(Exit::Failed, "writing the output panicked"))),
        }
    }

    /// Why an acknowledgement was refused: if the stream ended first, it contains the reason.
    async fn reason(&self, problem: Problem) -> Last {
        match timeout(REASON_TIME, self.stream_failed.cancelled()).await {
            Ok(()) => Last::StreamFailed,
            Err(_) => Last::Failed(problem),
        }
    }

    async fn acknowledge(&self, through: u64, end: End) -> Result<(), Problem> {
        let body = Acknowledge { lease: self.lease.clone(), through, end: end == End::Now };
        let body =
            serde_json::to_vec(&body).map_err(|error| Problem::new(Exit::Failed, "an acknowledgement cannot be encoded").because(error))?;
        let answer: Result<Acknowledged, Problem> = self.session.client.post(&format!("{}/acknowledge", self.path), body).await;
        answer.map(|_| ()).map_err(|problem| {
            let what = "messages that were written could not be acknowledged: they will be redelivered";
            Problem::new(problem.exit, what).because(problem)
        })
    }

    /// How the stream has ended.
    async fn stream_end(&mut self) -> Result<()> {
        let Err(problem) = (&mut self.reader).await? else { return Ok(()) };
        // A problem with its own next step is for example a stopped flow: nothing is redelivered then.
        let next = "unacknowledged messages are redelivered, which may duplicate those of one batch: run it again";
        Err(problem.or_next(next).into())
    }
}

/// Waits until there is a message; `false` at the end of the stream.
async fn more(pending: &mut Messages, received: &mut mpsc::Receiver<Messages>) -> bool {
    while pending.is_empty() {
        match received.recv().await {
            Some(messages) => *pending = messages,
            None => return false,
        }
    }
    true
}

/// Whether an acknowledgement ends the lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It does: everything else is requeued.
    Now,
    /// More follow.
    Later,
}

/// Cancels a write, and returns what was written.
async fn cancelled(progress: &Progress, writing: JoinHandle<WriteOutcome>) -> Option<WriteOutcome> {
    progress.cancel();
    timeout(CANCEL_TIME, writing).await.unwrap_or(Ok(WriteOutcome::Cancelled)).ok()
}

/// The exit code that shells report for a program ended by this signal.
fn code_of(signal: &str) -> ExitCode {
    ExitCode::from(if signal == "SIGINT" { 130 } else { 143 })
}
