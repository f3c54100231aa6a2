//! The settings of the service.

use std::time::Duration;

/// Settings of the flow service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowSettings {
    /// The size above which an exit drops its oldest messages: 64 MiB, some minutes of a busy flow, so that a forgotten exit does not fill the disk.
    pub exit_limit_bytes: u64,
    /// The size of the dead-letter queue above which no further dead letter is accepted and the message stays with its processor: 256 MiB, enough for
    /// a day of a flow that rejects an occasional message, and far below the limit of one queue.
    pub dead_letters_max_bytes: u64,
    /// How long a stop waits for the flow's processors to detach from their queues: 10 s, well above the time that a host takes to apply a change.
    pub stop_wait: Duration,
    /// How often the deletion of a queue is attempted before it becomes a leftover: 5.
    pub delete_tries_count: u32,
    /// The wait between these attempts: 2 s.
    pub delete_pause: Duration,
    /// How often to look for partially started or stopped flows, and to recreate missing queues: 30 s.
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
