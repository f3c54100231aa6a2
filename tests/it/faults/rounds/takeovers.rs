//! Rounds on the leading flow service.

use std::time::Duration;

use rand::rngs::StdRng;
use rustix::process::Signal;
use weir_tests::wait::{DEADLINE, eventually, pass};

use super::hosts::moment;
use super::plan::Loss;
use super::roles::{FlowServer, Roles};
use crate::faults::failpoints::Operation;
use crate::faults::load::Load;
use crate::faults::orders::Begun;

/// The flow of an operation: the one that is swapped has the load.
fn flow_of(operation: Operation) -> &'static str {
    if operation == Operation::Swap { "one" } else { "two" }
}

/// The flows that run after an operation.
fn flows_after(operation: Operation) -> &'static [&'static str] {
    if operation == Operation::Start { &["one", "two"] } else { &["one"] }
}

/// Sets up what an operation needs, and begins it: the leader is held at the step when this returns.
async fn begin_until(roles: &mut Roles, operation: Operation, step: &str) -> Begun {
    if matches!(operation, Operation::Stop | Operation::StopIfEmpty) {
        roles.perform(Operation::Start, "two").await;
    }
    roles.leader.steps.hold(step);
    let begun = roles.begin(operation, flow_of(operation));
    roles.leader.steps.reached(step).await;
    begun
}

/// The operation must be answered as done, by whichever service: its changes are then complete.
async fn is_answered(roles: &Roles, operation: Operation, step: &str, begun: Begun) {
    assert_eq!(roles.answer(begun).await, Ok(()), "{operation:?}, struck at {step}");
    roles.is_whole(flows_after(operation)).await;
}

/// Only flow `one` is left.
async fn clean_up(roles: &mut Roles, load: &Load, operation: Operation) {
    if operation == Operation::Start {
        roles.passes(load, "two").await;
        roles.perform(Operation::Stop, "two").await;
    }
}

/// The flow service is killed at a step: the standby answers the request and completes the operation.
pub(super) async fn flow_killed(roles: &mut Roles, load: &Load, operation: Operation, step: &str, random: &mut StdRng) {
    let begun = begin_until(roles, operation, step).await;
    moment(random, 200).await;
    roles.leader.process.signal(Signal::KILL);
    is_answered(roles, operation, step, begun).await;
    roles.replace_leader().await;
    clean_up(roles, load, operation).await;
}

/// The flow service is suspended at a step, and resumed once the standby leads and has completed the operation: it writes nothing, creates
/// and deletes no queue, and stands by.
pub(super) async fn leader_stopped(roles: &mut Roles, load: &Load, operation: Operation, step: &str, loss: Loss) {
    let begun = begin_until(roles, operation, step).await;
    let stopped = roles.leading_id().await;
    roles.leader.process.pause();
    if loss == Loss::Cut {
        roles.leader.line.cut();
    }
    eventually(2 * DEADLINE, "another leader", || async { (roles.leading_id().await != stopped).then_some(()) }).await;
    is_answered(roles, operation, step, begun).await;
    let before = (roles.config.everything().await.unwrap(), roles.space.queues().await);
    let said_bytes = roles.leader.process.said().len();
    roles.leader.steps.go_on(step);
    roles.leader.process.resume();
    stands_by(&roles.leader, said_bytes).await;
    // It has had enough time for anything it might have done.
    pass(Duration::from_millis(300)).await;
    let after = (roles.config.everything().await.unwrap(), roles.space.queues().await);
    assert_eq!(after, before, "the configuration with its version and the queues before and after the overtaken leader goes on");
    std::mem::swap(&mut roles.leader, &mut roles.standby);
    clean_up(roles, load, operation).await;
}

async fn stands_by(server: &FlowServer, said_bytes: usize) {
    let says = || async { server.process.said()[said_bytes..].contains("another flow service holds").then_some(()) };
    eventually(DEADLINE, "the overtaken leader to stand by", says).await;
}
