//! A whole processor, as defined by `processor!`.

use crate::Message;
use crate::bindings::base::weir::processor::delivery;

/// What `processor!` provides for the kit.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    pub descriptor: &'static str,
    pub handle: fn(String, Message) -> Result<(), delivery::Failure>,
    /// None or one.
    pub setup: &'static [Setup],
}

type Setup = fn(&[String]) -> Result<(), String>;

/// A [`Kit`](crate::testing::Kit) of the processor that `processor!` defines in this crate, with the embedded descriptor. Use `kit!(path)`
/// for one defined elsewhere than at the root of this crate: `kit!(word_counter)` in a test in `tests/` of the crate `word-counter`.
///
/// ```
/// use weir::testing::json;
/// use weir::{Json, Message};
///
/// weir::processor! { "input" => forward, "control" => forget, descriptor = "examples/two_inputs.json" }
///
/// fn forward(message: Message) -> Message {
///     message
/// }
///
/// fn forget() {}
///
/// # fn main() {
/// let mut kit = weir::testing::kit!();
/// assert_eq!(kit.handle("input", Json(1)).json("output"), [json!(1)]);
/// assert_eq!(kit.handle("control", Json(1)).json("output"), [json!(null); 0]);
/// # }
/// ```
#[doc(hidden)]
#[macro_export]
#[allow(clippy::crate_in_macro_def, reason = "it is the author's crate that has the processor")]
macro_rules! __kit {
    () => {
        $crate::testing::Kit::of(crate::__WEIR_PROCESSOR)
    };
    ($($processor:ident)::+) => {
        $crate::testing::Kit::of($($processor)::+::__WEIR_PROCESSOR)
    };
}
