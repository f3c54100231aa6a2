//! What tests of several crates need: components to run.

mod guests;

pub use guests::{guest, guest_names, guest_path};
