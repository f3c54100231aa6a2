//! The state machine when consumers leave between a decision and its outcome.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::consumer::{Prefetch, PrefetchBuffer};
use super::group::Group;
use super::operation::Operation;
use super::queue::QueueState;
use super::queues::BrokerState;
use super::stored::Stored;
use crate::backend::{ConsumerOptions, Overflow};
use crate::embedded::options::EmbeddedOptions;
use crate::embedded::refusal::WriteFailure;
use crate::message::Message;
use crate::topic::{Class, Queue};

#[test]
fn a_reader_closed_during_a_failed_deletion_leaves_nothing_behind() {
    let mut state = BrokerState::new(EmbeddedOptions::default());
    let a = Queue::new("flow:tg:a".parse().unwrap(), "s".parse().unwrap()).unwrap();
    state.insert_queue(QueueState::new(a.clone(), 1, Overflow::None));
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let now = Instant::now();
    let run = |state: &mut BrokerState, operation| {
        let mut group = Group::default();
        state.decide(operation, &mut group, now);
        std::mem::take(&mut group.steps)
    };
    let stored = Stored::of(Class::Flow, Message::new("kept"));
    let publish = Operation::Publish { topic: a.topic().clone(), stored, permit, done: oneshot::channel().0 };
    let steps = run(&mut state, publish);
    drop(state.apply(steps));
    let (leaving, ..) = state.add_consumer(&a, ConsumerOptions::default()).unwrap();
    let Prefetch::Taken(taken) = state.prefetch(leaving, now) else { panic!("nothing was taken") };
    assert_eq!(taken.len(), 1);
    let deleting = run(&mut state, Operation::Delete { queue: a.clone(), done: oneshot::channel().0 });
    // Between the decision and the failed write, a consumer leaves with an unread message.
    let buffer = PrefetchBuffer { messages: taken.into(), ..Default::default() };
    let (holds, wakeups) = state.begin_leaving(leaving, buffer);
    assert!(!holds);
    drop(wakeups);
    drop(state.undo(deleting, &WriteFailure::unavailable("not written")));
    let (other, ..) = state.add_consumer(&a, ConsumerOptions::default()).unwrap();
    let Prefetch::Taken(taken) = state.prefetch(other, now) else { panic!("nothing was taken") };
    assert_eq!(taken.len(), 1, "the message must come again");
    assert_eq!(state.queues[&1].consumers, [other]);
}
