//! The commit thread: the only one that changes what is durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::group::{Group, Operation};
use super::inbox::Next;
use super::{Shared, lock};

/// Operations in one frame, at most: what a crash in the middle of it can undo together, and how long the lock is held.
const GROUP_COUNT: usize = 1024;
/// Bytes in one frame, about: beyond it a bigger frame is no faster.
const GROUP_BYTES: u64 = 4 << 20;

/// Commits until the inbox is closed and empty.
pub(super) fn run(shared: &Arc<Shared>) {
    loop {
        match shared.inbox.next(None) {
            Next::Operations(operations) => {
                let mut rest = operations.into_iter().peekable();
                while rest.peek().is_some() {
                    commit(shared, take_group(&mut rest));
                }
            }
            Next::Idle => {}
            Next::Closed => return,
        }
    }
}

/// The operations of the next frame.
fn take_group(rest: &mut std::iter::Peekable<impl Iterator<Item = Operation>>) -> Vec<Operation> {
    let mut group = Vec::new();
    let mut bytes = 0;
    while let Some(next) = rest.peek() {
        let alone = next.is_structural();
        if !group.is_empty() && (alone || group.len() >= GROUP_COUNT || bytes + next.size_bytes() > GROUP_BYTES) {
            break;
        }
        bytes += next.size_bytes();
        group.extend(rest.next());
        if alone {
            break;
        }
    }
    group
}

fn commit(shared: &Shared, operations: Vec<Operation>) {
    let mut group = Group::default();
    let now = Instant::now();
    let mut state = lock(&shared.state);
    for operation in operations {
        state.decide(operation, &mut group, now);
    }
    state.add_counts(&mut group);
    drop(state);
    shared.groups_count.fetch_add(1, Ordering::Relaxed);
    shared.operations_count.fetch_add(group.operations_count, Ordering::Relaxed);
    let steps = std::mem::take(&mut group.steps);
    let wakes = lock(&shared.state).apply(steps);
    wakes.ring();
    group.answer();
}
