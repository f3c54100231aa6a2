//! The names of all guests, as `tests/build.rs` lists them. "constant `NAME` is never used" means that a guest has no test: run it in one, by
//! `guests::NAME`.
#![deny(dead_code)]

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
