//! Policies that the operator of a broker sets for the queues of Weir, beyond what a client of the broker may do.

/// A rule of the broker for queues of Weir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name on the broker.
    pub name: String,
    /// The consequence of its absence, for people.
    pub reason: &'static str,
    /// The command that sets it, to run on a machine of the broker.
    pub command: String,
    /// Whether it is there.
    pub state: PolicyState,
    /// Whether this call has set it; `false` also if the broker does not report the previous state.
    pub is_new: bool,
}

/// Whether a rule is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyState {
    /// The broker does not show it; the command shows it on a machine of the broker.
    Unknown {
        /// The command that lists what is there.
        list_command: String,
    },
    /// Queues that require it do not have it; what is missing where, for people.
    Missing(String),
    /// An administrator has set something that may be in the way of Weir, which leaves it as it is; what, for people.
    Limited(String),
    /// The same, and nothing works before it is changed.
    Blocking(String),
    /// All queues that need it have it.
    Set,
    /// Nothing needs it at present; why, for people.
    NotNeeded(String),
}

/// What to do about missing rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provision {
    /// Nothing: they are reported.
    Look,
    /// They are set.
    Set,
}
