//! The names of all guests, as listed by `tests/build.rs`. "constant `NAME` is never used" means that a guest has no test: run it in one,
//! as `guests::NAME`.
#![deny(dead_code)]

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
