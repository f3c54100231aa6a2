//! Taking messages out of an exit under a lease: acknowledged ones are settled, all others are redelivered.
//!
//! [`held`] decides what a lease may deliver and when it expires, [`lease`] executes that, [`taking`] moves messages from the exit to the connection.
//! A WebSocket export, whose readers do not acknowledge, counts its [`batches`] by pings and pongs.

mod batches;
mod lease;
mod lease_window;
mod reading;
mod taking;

pub(crate) use batches::{BATCH_BYTES, Batches};
pub(crate) use lease::{Lease, LeaseId, Leases, Then};
pub(crate) use reading::{consumer, consumer_again};
pub(crate) use taking::{Taking, WINDOW, cut_off, lines};
