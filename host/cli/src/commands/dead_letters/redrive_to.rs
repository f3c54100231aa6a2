//! `redrive --to`: swaps the processor of the selected dead letters before they are resent.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::{Value, json};
use weir_config::names::entry_name;
use weir_config::records::ComponentRef;
use weir_gateway::protocol::{DeadLetterSummary, FlowSummary, Position, Status};

use super::pages::{PAGE_COUNT, Pages};
use crate::args::{DeadLetterSelection, Redrive, Swap};
use crate::commands::{Session, status, swap};
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// An entry: processor and variant.
type Entry = (String, String);

/// The origins of the selected dead letters.
#[derive(Debug, Default)]
struct Selected {
    entries: BTreeSet<Entry>,
    /// The newest dead letter at that time: later ones are not sent.
    newest: Option<Position>,
}

impl Selected {
    /// Adds the dead letters of all pages, except those that arrived after the first page.
    async fn add(&mut self, mut pages: Pages<'_>) -> Result<(), Problem> {
        let mut newest = None;
        loop {
            let (page, more) = pages.next(PAGE_COUNT).await?;
            newest = newest.or(page.newest);
            if let Some(newest) = newest.as_ref().filter(|newest| self.newest.as_ref().is_none_or(|known| newest.is_behind(known))) {
                self.newest = Some(newest.clone());
            }
            let is_later = |position: &Position| newest.as_ref().is_some_and(|newest| position.is_behind(newest));
            let old = page.letters.into_iter().filter(|letter| !is_later(&letter.position) && !letter.processor.is_empty());
            self.entries.extend(old.map(|DeadLetterSummary { processor, variant, .. }| (processor, variant)));
            if !more || pages.after().is_some_and(is_later) {
                return Ok(());
            }
        }
    }
}

/// What was swapped, and the last dead letter that may be sent now.
pub(super) struct SwappedSelection {
    pub(super) swapped: Value,
    pub(super) through: Option<Position>,
}

/// Swaps each entry that the selected dead letters are from, and waits until all hosts run the component. Sends nothing.
pub(super) async fn swap_first(session: &Session, redrive: &Redrive, component: &str) -> Result<SwappedSelection> {
    let selected = look(session, &redrive.letters).await?;
    let Status { flows, .. } = status::whole(session).await?;
    let swaps = plan(&selected, &flows, redrive, component)?;
    let mut swapped = Vec::new();
    for swap in swaps {
        let told = format!("nothing was sent: the swap of {} in flow {} failed", swap.processor, swap.flow);
        let (done, hosts) = swap::perform(session, &swap).await.map_err(|error| as_problem(error, &told))?;
        if session.format == Format::Text {
            swap::show(&done, hosts.as_ref())?;
        }
        let (component, previous) = (done.component.key(), done.previous.as_ref().map(ComponentRef::key));
        swapped.push(
            json!({"flow": swap.flow, "processor": done.processor, "variant": done.variant, "component": component, "previous": previous}),
        );
    }
    Ok(SwappedSelection { swapped: swapped.into(), through: selected.newest })
}

/// Adds that nothing was sent; the original problem becomes the cause, with its exit code and next step.
fn as_problem(error: anyhow::Error, told: &str) -> anyhow::Error {
    match error.downcast::<Problem>() {
        Ok(problem) => {
            let outer = Problem::new(problem.exit, told);
            let outer = match problem.next_step() {
                Some(next) => outer.next(next.to_owned()),
                None if problem.exit == Exit::Unavailable => {
                    outer.next("repeat the command once Weir answers (weir status); this is safe: a completed swap is not repeated")
                }
                None => outer,
            };
            outer.because(problem).into()
        }
        Err(error) => error.context(told.to_owned()),
    }
}

/// Finds the entries that the selected dead letters are from.
async fn look(session: &Session, letters: &DeadLetterSelection) -> Result<Selected> {
    let mut selected = Selected::default();
    if letters.ids.is_empty() {
        selected.add(Pages::of(session, letters.flow.as_deref(), letters.processor.as_deref())).await?;
    }
    for id in &letters.ids {
        selected.add(Pages::with_id(session, id)).await?;
    }
    Ok(selected)
}

/// One swap for each entry that a flow has, or why it is refused.
fn plan(selected: &Selected, flows: &[FlowSummary], redrive: &Redrive, component: &str) -> Result<Vec<Swap>, Problem> {
    let processors: BTreeSet<&str> = selected.entries.iter().map(|(processor, _)| processor.as_str()).collect();
    if processors.len() > 1 {
        let names = processors.into_iter().collect::<Vec<_>>().join(", ");
        let what = format!("nothing was sent: the selected dead letters belong to several processors ({names}), and --to swaps only one");
        return Err(Problem::new(Exit::Usage, what).next("add --processor NAME, and run the command once for each processor"));
    }
    let mut users: BTreeMap<&Entry, Vec<&str>> = BTreeMap::new();
    for entry in &selected.entries {
        let has = |flow: &&FlowSummary| flow.processors.iter().any(|it| it.processor == entry.0 && it.variant == entry.1);
        let flows: Vec<&str> = flows.iter().filter(has).map(|flow| flow.id.as_str()).collect();
        if !flows.is_empty() {
            users.insert(entry, flows);
        }
    }
    if let (true, Some((processor, variant))) = (users.is_empty(), selected.entries.first()) {
        let what = format!(
            "nothing was sent: no flow has {processor} ({variant}), the processor of the selected dead letters, so it cannot be swapped"
        );
        return Err(Problem::new(Exit::Failed, what).next("start its flow again; weir flow list shows the running flows"));
    }
    let mut swaps = Vec::new();
    for ((processor, variant), flows) in users {
        if flows.len() > 1 && !redrive.shared {
            let what = format!("nothing was sent: {processor} ({variant}) is shared by the flows {}", flows.join(", "));
            return Err(Problem::new(Exit::Failed, what).next("add --shared to swap it in all of them"));
        }
        let named = redrive.letters.flow.as_deref().filter(|named| flows.contains(named));
        swaps.push(Swap {
            flow: named.unwrap_or(flows[0]).to_owned(),
            processor: entry_name(processor, variant),
            component: component.to_owned(),
            wait: true,
            timeout: redrive.timeout,
            shared: redrive.shared,
        });
    }
    Ok(swaps)
}

/// The output if there is nothing to swap.
pub(super) fn show_none(session: &Session, ready: &SwappedSelection) -> std::io::Result<()> {
    let is_empty = ready.swapped.as_array().is_some_and(Vec::is_empty);
    if is_empty && session.format == Format::Text { output::line("nothing to swap") } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn redrive(flow: Option<&str>, shared: bool) -> Redrive {
        let letters = DeadLetterSelection { ids: Vec::new(), flow: flow.map(str::to_owned), processor: None, all: flow.is_none() };
        Redrive { letters, to: Some("p@2".to_owned()), shared, timeout: Duration::from_secs(1) }
    }

    fn planned(entries: &[(&str, &str)], redrive: &Redrive) -> Result<Vec<String>, String> {
        let flow = |id: &str, processors: &[(&str, &str)]| FlowSummary {
            id: id.to_owned(),
            processors: processors
                .iter()
                .map(|(processor, variant)| serde_json::from_value(json!({"processor": processor, "variant": variant})).unwrap())
                .collect(),
            ..FlowSummary::default()
        };
        let flows = [flow("one", &[("p", "one"), ("p", "b"), ("q", "one")]), flow("two", &[("p", "two"), ("p", "b")])];
        let entries = entries.iter().map(|(processor, variant)| ((*processor).to_owned(), (*variant).to_owned())).collect();
        let swaps = plan(&Selected { entries, newest: Some(Position::Number(9)) }, &flows, redrive, "p@2")
            .map_err(|problem| problem.to_string())?;
        Ok(swaps.into_iter().map(|swap| format!("{} {} {}", swap.flow, swap.processor, swap.component)).collect())
    }

    #[test]
    fn one_swap_for_each_entry_of_one_processor() {
        let all = redrive(None, false);
        assert_eq!(planned(&[("p", "one"), ("p", "two")], &all).unwrap(), ["one p:one p@2", "two p:two p@2"]);
        assert_eq!(planned(&[("p", "one"), ("p", "gone")], &all).unwrap(), ["one p:one p@2"]);
        assert!(planned(&[], &all).unwrap().is_empty());
        assert!(planned(&[("p", "gone")], &all).unwrap_err().contains("no flow has p (gone)"));
        assert!(planned(&[("p", "one"), ("q", "one")], &all).unwrap_err().contains("several processors (p, q)"));
        assert!(planned(&[("p", "b")], &all).unwrap_err().contains("shared by the flows one, two"));
        assert_eq!(planned(&[("p", "b")], &redrive(None, true)).unwrap(), ["one p:b p@2"]);
        assert_eq!(planned(&[("p", "b")], &redrive(Some("two"), true)).unwrap(), ["two p:b p@2"]);
    }
}
