//! `GET /metrics`: the gateway's own counts, and the figures of others in Prometheus format.
//!
//! Written by hand: nearly all figures are counted elsewhere (in hosts, in the broker), so a library's registry would only hold copies of them; what
//! remains is one histogram and a text format with three kinds of lines.

pub(crate) mod figures;
pub(crate) mod open;
pub(crate) mod requests;
pub(crate) mod text;
