//! The whole broker, with files. The guarantees of every backend are tested by the conformance suite.

mod broker;
mod crash;
mod failure;
mod faults;
mod full;
mod losses;
mod model;
mod queue_view;
mod space;
mod stress;
