//! The settings of the service.

use std::time::Duration;

/// Settings of the flow service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowSettings {
    /// Where an exit begins to drop its oldest messages: 64 MiB, some minutes of a busy flow, so that a forgotten exit costs no disk.
    pub exit_limit_bytes: u64,
    /// The size of the dead-letter queue above which no further dead letter is accepted and the message stays with its processor: 256 MiB, enough for
    /// a day of a flow that rejects an occasional message, and far below the limit of one queue.
    pub dead_letters_max_bytes: u64,
    /// How long a stop waits for the flow's processors to leave their queues: 10 s, well over the time that a host takes to see a change.
    pub stop_wait: Duration,
    /// How often the deletion of a queue is tried before it is left over for later: 5.
    pub delete_tries_count: u32,
    /// The pause between two such tries: 2 s.
    pub delete_pause: Duration,
    /// How often half started or half stopped flows are searched for, and missing queues recreated: 30 s.
    pub resume_every: Duration,
}

impl Default for FlowSettings {
    fn default() -> Self {
        FlowSettings {
            exit_limit_bytes: 64 << 20,
            dead_letters_max_bytes: 256 << 20,
            stop_wait: Duration::from_secs(10),
            delete_tries_count: 5,
            delete_pause: Duration::from_secs(2),
            resume_every: Duration::from_secs(30),
        }
    }
}
