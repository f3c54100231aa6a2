//! Disks: usage, reserved space, and damage in a queue folder that no process is using.

pub use crate::embedded::{DiskReserve, DiskUse, damaged_files, lost_mark};
