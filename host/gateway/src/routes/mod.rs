//! One file per resource. To add a path, add a function with its OpenAPI description here, and a line in [`crate::serve`].

pub(crate) mod components;
pub(crate) mod dead_letters;
pub(crate) mod deployments;
pub(crate) mod documents;
pub(crate) mod exits;
pub(crate) mod export_stream;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod import_stream;
pub(crate) mod interface;
pub(crate) mod metrics;
pub(crate) mod queues;
pub(crate) mod redrive;
pub(crate) mod removal;
pub(crate) mod requests;
pub(crate) mod services;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod taps;
