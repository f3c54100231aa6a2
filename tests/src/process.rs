//! What the operating system shows of other processes, read from `/proc`.

use std::fs;

/// The child processes of a single-threaded process, including ended ones that were not waited for; none if it is gone.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Whether a process is running, including one stopped by a signal: one that ended and was not waited for is not.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it, in parentheses, may contain anything.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

/// The first running process with this name below `pid`, for example `beam.smp`.
#[must_use]
pub fn descendant(pid: u32, name: &str) -> Option<u32> {
    let is_it = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name);
    children(pid)
        .into_iter()
        .filter(|child| is_running(*child))
        .find_map(|child| if is_it(child) { Some(child) } else { descendant(child, name) })
}
