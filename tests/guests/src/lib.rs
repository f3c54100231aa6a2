//! One component per behaviour: see `examples/`, each of which documents its own. `tests/build.rs` builds them.
