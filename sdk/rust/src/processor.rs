//! The macro that turns a crate into a component.

/// Turns this crate into a component: exports the handler, with the inputs, outputs and parameters named in a file beside Cargo.toml.
///
/// With `manifest = "weir.toml"` that file is the project's manifest, as created by `weir new`: `weir build` writes the descriptor into the
/// component. Without it, `descriptor.json` is embedded, so that `cargo build` alone produces a deployable component.
///
/// One handler for every input, or one for each:
///
/// ```
/// use weir::{Json, Result};
///
/// fn document(Json(text): Json<String>) -> Json<usize> {
///     Json(text.len())
/// }
///
/// fn forget(Json(ids): Json<Vec<String>>) -> Result {
///     weir::send_all("forgotten", ids.into_iter().map(Json))
/// }
///
/// weir::processor! { "input" => document, "control" => forget }
/// ```
///
/// The handlers may be followed, in this order, by:
///
/// - `setup = FUNCTION`, of type `fn(&[String]) -> weir::Result` (or with another error that implements `Display`). It is called on each
///   new instance before the first message, with the names of the config types that the descriptor declares, and again with the names of
///   those that changed. An error on a new instance means that it cannot work: it gets no messages, and the status shows why.
/// - `manifest = "weir.toml"`, the project's manifest instead of `descriptor.json`; build such a crate with `weir build`.
/// - `descriptor = "FILE"`, a path other than `descriptor.json`, relative to Cargo.toml: for crates with several components.
///
/// ```
/// use serde::Deserialize;
/// use weir::{Failure, Params, Result, Text};
///
/// #[derive(Deserialize)]
/// struct Settings {
///     from: u32,
///     to: u32,
/// }
///
/// fn check(_changed: &[String]) -> Result {
///     let Params(settings) = Params::<Settings>::get()?;
///     if settings.from > settings.to { Err(Failure::retry("parameter `from` is larger than `to`")) } else { Ok(()) }
/// }
///
/// fn handle(Text(text): Text) -> Text {
///     Text(text)
/// }
///
/// weir::processor!(handle, setup = check, descriptor = "examples/echo.json");
/// ```
///
/// Use it once per crate, at the root. Outside of wasm there is nothing to export, but the handlers are type-checked nevertheless, and
/// [`testing::kit!`](crate::testing::kit) tests the whole processor in a plain `cargo test`.
#[macro_export]
macro_rules! processor {
    ($handler:path $(, setup = $setup:path)? $(, manifest = $manifest:literal)? $(, descriptor = $descriptor:literal)? $(,)?) => {
        $crate::__processor! {
            [input message] [$crate::__private::handle($handler, &input, message)] [$($setup)?] [$($manifest)?] [$($descriptor)?]
        }
    };
    (
        $($input:literal => $handler:path),+
        $(, setup = $setup:path)? $(, manifest = $manifest:literal)? $(, descriptor = $descriptor:literal)? $(,)?
    ) => {
        $crate::__processor! {
            [input message] [match input.as_str() {
                $($input => $crate::__private::handle($handler, &input, message),)+
                _ => Err($crate::__private::no_handler(&input, &[$($input),+])),
            }] [$($setup)?] [$($manifest)?] [$($descriptor)?]
        }
    };
}

/// The exports and the descriptor.
#[doc(hidden)]
#[macro_export]
macro_rules! __processor {
    ([$($names:ident)+] [$($handle:tt)+] [$($setup:path)?] [] []) => {
        $crate::__processor! { [$($names)+] [$($handle)+] [$($setup)?] [] ["descriptor.json"] }
    };
    ([$($names:ident)+] [$($handle:tt)+] [$($setup:path)?] [$manifest:literal] [$descriptor:literal]) => {
        compile_error!("`processor!` takes either `manifest` or `descriptor`: both name the inputs and outputs");
    };
    ([$($names:ident)+] [$($handle:tt)+] [$($setup:path)?] [$manifest:literal] []) => {
        // `weir build` writes the descriptor, generated from the manifest, into the component.
        $crate::__exports! { [$($names)+] [$($handle)+] [$($setup)?] $manifest }
    };
    ([$($names:ident)+] [$($handle:tt)+] [$($setup:path)?] [] [$descriptor:literal]) => {
        $crate::__exports! { [$($names)+] [$($handle)+] [$($setup)?] $descriptor }
        // The custom section from which hosts read the descriptor. It ends up in the core module, which they search too.
        #[cfg(target_family = "wasm")]
        const _: () = {
            const BYTES: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $descriptor));
            #[used]
            #[unsafe(link_section = "weir:descriptor")]
            static DESCRIPTOR: [u8; BYTES.len()] = *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $descriptor));
        };
    };
}

/// The exports; outside of wasm, where their names would break a native linker, what the test kit runs.
#[doc(hidden)]
#[macro_export]
macro_rules! __exports {
    ([$input:ident $message:ident] [$($handle:tt)+] [$($setup:path)?] $descriptor:literal) => {
        #[cfg(not(target_family = "wasm"))]
        #[doc(hidden)]
        pub const __WEIR_PROCESSOR: $crate::__private::Processor = $crate::__private::Processor {
            descriptor: concat!(env!("CARGO_MANIFEST_DIR"), "/", $descriptor),
            handle: |$input, $message| $($handle)+,
            setup: &[$(|changed| $setup(changed).map_err(|error| error.to_string()))?],
        };
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::{base, with_setup};
            struct Component;
            impl base::exports::weir::processor::handler::Guest for Component {
                fn handle($input: String, $message: $crate::Message) -> Result<(), base::exports::weir::processor::handler::Failure> {
                    $($handle)+
                }
            }
            $crate::bindings::base::export_handler!(Component with_types_in $crate::bindings::base);
            $(impl with_setup::exports::weir::processor::setup::Guest for Component {
                fn configure(changed: Vec<String>) -> Result<(), String> {
                    $setup(&changed).map_err(|error| error.to_string())
                }
            }
            $crate::bindings::with_setup::export_setup!(Component with_types_in $crate::bindings::with_setup);)?
        };
    };
}
