//! The whole broker, with files. What every backend promises is tested by the conformance suite.

mod broker;
mod crash;
mod failure;
mod faults;
mod full;
mod looking;
mod losses;
mod model;
mod space;
mod stress;
