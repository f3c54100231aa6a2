//! What `wit/processor.wit` says, as Rust: made by wit-bindgen, used by the rest of this crate and by what `processor!` expands to.
//!
//! Not part of the API: whatever an author needs is re-exported at the root.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
#![allow(clippy::allow_attributes_without_reason, clippy::unwrap_used, reason = "generated code")]
#![allow(unsafe_code, reason = "lowering and lifting values at the border of the component is raw memory; wit-bindgen writes all of it")]

/// The imports that every processor may use, and the export that every processor has.
pub mod base {
    wit_bindgen::generate!({
        world: "processor",
        path: "../../wit/processor.wit",
        additional_derives: [PartialEq, Eq],
        pub_export_macro: true,
        export_macro_name: "export_handler",
        default_bindings_module: "weir::bindings::base",
    });
}

/// The optional export `setup`: a world of its own, so that a component has it only if its author asked for it.
pub mod with_setup {
    wit_bindgen::generate!({
        inline: "package weir:sdk; world with-setup { export weir:processor/setup@0.1.0; }",
        path: "../../wit/processor.wit",
        pub_export_macro: true,
        export_macro_name: "export_setup",
        default_bindings_module: "weir::bindings::with_setup",
    });
}
