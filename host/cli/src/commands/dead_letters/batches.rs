//! Redrives and deletes dead letters in batches, to show progress.

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_gateway::protocol::{DeadLetterFailure, DeadLetterId, DeadLetterOrder, Position};

use crate::args::DeadLetterSelection;
use crate::commands::Session;
use crate::output;
use crate::problem::{Exit, Problem};
use crate::progress::{Counter, during};

/// Number of dead letters per request, which takes some tenths of a second.
const PORTION_COUNT: u32 = 1000;
/// Maximum number of failures shown; all are counted.
const SHOWN_COUNT: usize = 100;

/// The operation on dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Redrive,
    Delete,
}

impl Action {
    fn path(self) -> &'static str {
        match self {
            Action::Redrive => "/api/v1/weir/dead-letters/redrive",
            Action::Delete => "/api/v1/weir/dead-letters/delete",
        }
    }

    fn doing(self) -> &'static str {
        match self {
            Action::Redrive => "resending dead letters",
            Action::Delete => "deleting dead letters",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Action::Redrive => "resent",
            Action::Delete => "deleted",
        }
    }

    /// The effect of repeating the command after it was interrupted.
    fn repeating(self) -> &'static str {
        match self {
            Action::Redrive => {
                "no letter is lost, and on the embedded broker none is sent twice; on another broker the letters that were being sent may be \
                 sent twice"
            }
            Action::Delete => "this is safe: a deleted letter is gone, and the others are still there",
        }
    }

    /// The name of the count in JSON.
    fn count(self) -> &'static str {
        match self {
            Action::Redrive => "redriven-count",
            Action::Delete => "deleted-count",
        }
    }
}

/// The answer to either request.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BatchResponse {
    #[serde(alias = "redriven-count", alias = "deleted-count")]
    done_count: u64,
    failed_count: u64,
    failures: Vec<DeadLetterFailure>,
    next_after: Option<Position>,
    through: Option<Position>,
}

/// The outcome for the selected dead letters.
#[derive(Debug, Default)]
struct Outcome {
    done_count: u64,
    failed_count: u64,
    failures: Vec<DeadLetterFailure>,
}

/// The selection in the gateway's format.
pub(super) fn order(letters: &DeadLetterSelection) -> DeadLetterOrder {
    let ids = (!letters.ids.is_empty()).then(|| letters.ids.iter().cloned().map(DeadLetterId::Text).collect());
    DeadLetterOrder {
        ids,
        flow: letters.flow.clone(),
        processor: letters.processor.clone(),
        all: letters.all.then_some(true),
        ..DeadLetterOrder::default()
    }
}

/// Processes all selected dead letters, up to a position if one is given, and shows the outcome; `before` belongs to the same output.
pub(super) async fn work(
    session: &Session,
    action: Action,
    letters: &DeadLetterSelection,
    through: Option<Position>,
    before: Value,
) -> Result<()> {
    let counter = Counter::of_things();
    let mut outcome = Outcome::default();
    let ended = during(session.format, action.doing(), &counter, portions(session, action, letters, through, &counter, &mut outcome)).await;
    show(session, action, &outcome, ended.is_ok(), before)?;
    if let Err(problem) = ended {
        return Err(unfinished(action, &outcome, !letters.ids.is_empty(), problem).into());
    }
    match outcome.failed_count {
        0 => Ok(()),
        failed => Err(failure(action, &outcome, failed).into()),
    }
}

async fn portions(
    session: &Session,
    action: Action,
    letters: &DeadLetterSelection,
    through: Option<Position>,
    counter: &Counter,
    outcome: &mut Outcome,
) -> Result<(), Problem> {
    let mut order = DeadLetterOrder { through, limit: Some(PORTION_COUNT), ..order(letters) };
    loop {
        let body =
            serde_json::to_string(&order).map_err(|error| Problem::new(Exit::Failed, "the request cannot be written").because(error))?;
        let answer: BatchResponse = session.client.post(action.path(), body).await?;
        outcome.done_count += answer.done_count;
        outcome.failed_count += answer.failed_count;
        outcome.failures.extend(answer.failures.into_iter().take(SHOWN_COUNT - outcome.failures.len()));
        counter.add(answer.done_count + answer.failed_count);
        let Some(after) = answer.next_after else { return Ok(()) };
        order.after = Some(after);
        order.through = answer.through;
    }
}

/// Shows the outcome. After an interruption or refusal, only what is known.
fn show(session: &Session, action: Action, outcome: &Outcome, is_complete: bool, before: Value) -> std::io::Result<()> {
    let is_known = is_complete || outcome.done_count > 0 || outcome.failed_count > 0;
    if session.format == output::Format::Json {
        if !is_known && before.is_null() {
            return Ok(());
        }
        let mut shown = json!({"failed-count": outcome.failed_count, "failures": outcome.failures});
        shown[action.count()] = outcome.done_count.into();
        if !is_complete {
            shown["is-complete"] = false.into();
        }
        if !before.is_null() {
            shown["swapped"] = before;
        }
        return output::json(&shown);
    }
    match (outcome.done_count, outcome.failed_count) {
        _ if !is_known => Ok(()),
        (0, 0) => output::line("no dead letter matches"),
        (count, _) if is_complete => output::line(&format!("{} {}", counted(count), action.done())),
        (count, _) => output::line(&format!("at least {} {}", counted(count), action.done())),
    }
}

/// Why not all dead letters were processed. After a lost answer some may have been: states what is known, and the effect of repeating the command.
fn unfinished(action: Action, outcome: &Outcome, is_by_id: bool, problem: Problem) -> Problem {
    let (exit, done) = (problem.exit, action.done());
    let outer = match (exit, outcome.done_count) {
        // A problem with its own next step occurred before the request was sent.
        (Exit::Unavailable, count) if count > 0 || problem.next_step().is_none() => {
            let gone = match is_by_id {
                true => format!("; letters that were {done} are reported as not found"),
                false => "; letters that have arrived since are selected too".to_owned(),
            };
            let repeating = action.repeating();
            Problem::new(exit, format!("the command was interrupted: it is unknown whether all selected dead letters were {done}"))
                .next(format!("repeat the command once Weir answers (weir status); {repeating}{gone}"))
        }
        (_, 0) => Problem::new(exit, format!("no dead letter was {done}")),
        (_, _) => Problem::new(exit, format!("not all selected dead letters were {done}")),
    };
    outer.with_details(details(outcome)).because(problem)
}

fn counted(count: u64) -> String {
    if count == 1 { "1 dead letter".to_owned() } else { format!("{} dead letters", output::number(count)) }
}

/// The dead letters that stay, for people and for programs.
fn details(outcome: &Outcome) -> Vec<(String, Value)> {
    let mut details: Vec<(String, Value)> = outcome.failures.iter().map(|failure| (told(failure), json!(failure))).collect();
    let left = outcome.failed_count.saturating_sub(details.len() as u64);
    if left > 0 {
        details.push((format!("and {} more", output::number(left)), json!({"more-count": left})));
    }
    details
}

fn failure(action: Action, outcome: &Outcome, failed: u64) -> Problem {
    let what = format!("{} {} not {}", counted(failed), if failed == 1 { "was" } else { "were" }, action.done());
    let problem = Problem::new(Exit::Failed, what).with_details(details(outcome));
    problem.next("letters that were not found are gone; the others remain: weir dead-letters list")
}

/// A dead letter that stays, in one line.
fn told(failure: &DeadLetterFailure) -> String {
    let mut parts = Vec::new();
    parts.extend(failure.position.as_ref().map(Position::to_string));
    parts.extend(failure.id.clone());
    if !failure.flows.is_empty() {
        parts.push(format!("flow {}", failure.flows.join(", ")));
    }
    if let (Some(topic), Some(subscription)) = (&failure.topic, &failure.subscription) {
        parts.push(format!("{topic} ({subscription})"));
    }
    let message = output::cut(&failure.message, 400);
    if parts.is_empty() { message } else { format!("{}: {message}", parts.join("  ")) }
}
