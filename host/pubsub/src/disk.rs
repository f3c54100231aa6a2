//! Disks: how full they are, space that is held on them, and what is wrong with a folder of queues that no process uses.

pub use crate::embedded::{DiskReserve, DiskUse, damaged_files, lost_mark};
