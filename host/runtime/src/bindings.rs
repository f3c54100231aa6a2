//! The contract of `wit/processor.wit` in Rust.
//!
//! Imports that never wait are plain functions: an asynchronous one costs a few percent of a whole call.

#![allow(missing_docs, unreachable_pub, reason = "generated; the documentation is in wit/processor.wit")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "processor",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        "weir:processor/messaging.send": async | trappable,
        "weir:processor/messaging.reply": async | trappable,
        "weir:processor/messaging.request": async | trappable,
        "weir:processor/messaging.begin-request": async | trappable,
        "weir:processor/messaging.next-reply": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});

/// The optional export `setup`.
pub mod setup {
    wasmtime::component::bindgen!({
        inline: "
            package weir:optional@0.1.0;
            world configurable { export weir:processor/setup@0.1.0; }
        ",
        path: "../../wit",
        world: "weir:optional/configurable",
        exports: { default: async },
    });
}
