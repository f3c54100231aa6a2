//! `GET /metrics`: the gateway's own counts, and the figures of others in Prometheus format.
//!
//! Written by hand: nearly all figures are counted elsewhere (in hosts, in the broker) and only shown here, so a library's registry of
//! counters would hold copies of them, and all that is left of its work is one histogram and a text format of three kinds of lines.

pub(crate) mod figures;
pub(crate) mod open;
pub(crate) mod requests;
pub(crate) mod text;
