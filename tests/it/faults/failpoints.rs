//! The steps of operations on flows at which faults strike flow services.

/// An operation on a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Start,
    Stop,
    StopIfEmpty,
    Swap,
}

/// All steps named in `host/flow`, with the operation that passes each.
pub(crate) const STEPS: [(Operation, &str); 10] = [
    (Operation::Start, "start-announced"),
    (Operation::Stop, "stop-announced"),
    (Operation::Swap, "swap-planned"),
    (Operation::Start, "start-queues-made"),
    (Operation::StopIfEmpty, "refuse-announced"),
    (Operation::Stop, "stop-queues-deleted"),
    (Operation::Start, "start-done"),
    (Operation::Swap, "swap-done"),
    (Operation::StopIfEmpty, "refuse-queues-deleted"),
    (Operation::Stop, "stop-done"),
];

#[test]
fn every_failpoint_of_the_flow_service_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/flow/src/lifecycle");
    let mut named = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        named.extend(text.split("failpoint(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    named.sort();
    let mut listed = STEPS.map(|(_, step)| step);
    listed.sort_unstable();
    assert_eq!(named, listed, "list each in STEPS, so that services are killed at it");
}
