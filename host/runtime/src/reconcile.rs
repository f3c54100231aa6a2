//! The next action for a variant, given what runs and what should: pure.

use crate::desired::{Desired, Workload};

/// The next action for a variant.
#[derive(Debug, PartialEq)]
pub(crate) enum ReconcileAction<'a> {
    /// Nothing to do.
    Keep,
    /// A change that does not affect the workload: the consumed topics, or the previous component.
    Note(&'a Workload),
    /// Start, or switch to another component, parameters or topics.
    Run(&'a Workload),
    /// Take no further messages.
    Pause,
    /// Stop, and report why.
    Break(&'a str),
    /// Stop.
    Stop,
}

/// The next action, given the running and the desired workload.
pub(crate) fn next_action<'a>(running: Option<&Workload>, desired: Option<&'a Desired>) -> ReconcileAction<'a> {
    match (running, desired) {
        (None, None) => ReconcileAction::Keep,
        (Some(_), None) => ReconcileAction::Stop,
        (_, Some(Desired::Paused(_))) => ReconcileAction::Pause,
        (_, Some(Desired::Broken { problem, .. })) => ReconcileAction::Break(problem),
        (None, Some(Desired::Run(work))) => ReconcileAction::Run(work),
        (Some(old), Some(Desired::Run(new))) if *old == **new => ReconcileAction::Keep,
        (Some(old), Some(Desired::Run(new))) if old.is_same_as(new) => ReconcileAction::Note(new),
        (Some(_), Some(Desired::Run(new))) => ReconcileAction::Run(new),
    }
}
