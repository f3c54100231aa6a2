//! The embedded broker: in process, durable on disk, nothing to install.
