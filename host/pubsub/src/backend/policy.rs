//! Policies that the operator of a broker sets for Weir's queues, beyond what a client of the broker may do.

/// A rule of the broker for Weir's queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name on the broker.
    pub name: String,
    /// The consequence of its absence, for display.
    pub reason: &'static str,
    /// The command that sets it, to run on a machine of the broker.
    pub command: String,
    /// Whether it is set.
    pub state: PolicyState,
    /// Whether this call has set it; `false` also if the broker does not report the previous state.
    pub is_new: bool,
}

/// Whether a rule is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyState {
    /// The broker does not report it; the command lists it on a machine of the broker.
    Unknown {
        /// The command that lists the rules.
        list_command: String,
    },
    /// Queues that require it do not have it; the text lists what is missing where, for display.
    Missing(String),
    /// An administrator has set something that may interfere with Weir, which leaves it unchanged; the text names it, for display.
    Limited(String),
    /// The same, and nothing works until it is changed.
    Blocking(String),
    /// All queues that need it have it.
    Set,
    /// Nothing needs it at present; the text states why, for display.
    NotNeeded(String),
}

/// What to do about missing rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provision {
    /// Only report them.
    Look,
    /// Set them.
    Set,
}
