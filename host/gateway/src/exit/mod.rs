//! Taking messages out of an exit under a lease: what is acknowledged is settled, everything else is delivered again.
//!
//! [`held`] decides what a lease may hand out and when it runs out, [`lease`] carries that out, [`taking`] moves messages from the exit
//! to the connection. A WebSocket export, whose readers do not acknowledge, counts its [`batches`] by pings and pongs.

mod batches;
mod held;
mod lease;
mod reading;
mod taking;

pub(crate) use batches::{BATCH_BYTES, Batches};
pub(crate) use lease::{Lease, LeaseId, Leases, Then};
pub(crate) use reading::{consumer, consumer_again};
pub(crate) use taking::{Taking, WINDOW, cut_off, lines};
