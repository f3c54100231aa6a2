//! One component per behaviour: see `examples/`, each of which says what it shows. `tests/build.rs` builds them.
