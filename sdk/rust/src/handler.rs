//! Functions that handle messages.

use crate::bindings::base::weir::processor::delivery;
use crate::{FromMessage, Incoming, Message, Outcome, Result};

/// A function that handles messages: up to six parameters that implement [`FromMessage`], and a return value that implements [`Outcome`].
#[diagnostic::on_unimplemented(
    message = "this function cannot handle messages",
    note = "a handler's parameters (six at most) are `Json<T>`, `Text`, `Params<T>`, `Input`, `Message` or types that implement \
            `weir::FromMessage`",
    note = "it returns `()`, `Json<T>`, `Text`, `Message`, an `Option` or `Vec` of these, `Reply(..)`, `ReplyParts(..)`, or a \
            `weir::Result` of any of them"
)]
pub trait Handler<Arguments> {
    /// Reads the parameters, calls the function and sends the messages it returned.
    ///
    /// # Errors
    /// The error of the first parameter that cannot be read, or of the function.
    fn call(&self, incoming: Incoming<'_>) -> Result;
}

macro_rules! handler {
    ($($argument:ident)*) => {
        impl<F: Fn($($argument),*) -> R, R: Outcome, $($argument: FromMessage),*> Handler<($($argument,)*)> for F {
            #[allow(non_snake_case, unused_mut, unused_variables, reason = "the parameters' names are those of their types; there may be none")]
            fn call(&self, mut incoming: Incoming<'_>) -> Result {
                $(let $argument = $argument::from_message(&mut incoming)?;)*
                self($($argument),*).settle()
            }
        }
    };
}

handler!();
handler!(A);
handler!(A B);
handler!(A B C);
handler!(A B C D);
handler!(A B C D E);
handler!(A B C D E G);

/// Called by `processor!`: the boundary between generated code and this crate.
#[doc(hidden)]
pub fn handle<A>(handler: impl Handler<A>, input: &str, message: Message) -> Result<(), delivery::Failure> {
    handler.call(Incoming::new(input, message)).map_err(delivery::Failure::from)
}

/// The answer of `processor!` to a message of an input without a handler: the descriptor and the code contradict each other, the message is
/// not at fault.
#[doc(hidden)]
pub fn no_handler(input: &str, inputs: &[&str]) -> delivery::Failure {
    crate::Failure::retry(format!(
        "the component has no handler for its input `{input}`, only for {}: add one to `processor!`, or remove the input from the descriptor",
        inputs.join(", ")
    ))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, Json, Verdict};

    fn check(Input(input): Input, Json(numbers): Json<Vec<u8>>, message: Message) -> Result {
        assert_eq!((input.as_str(), numbers.as_slice(), message.body.as_slice()), ("input", &[1][..], &b"[1]"[..]));
        Ok(())
    }

    #[test]
    fn parameters_are_read_from_left_to_right() {
        handle(check, "input", Message::new("[1]", "application/json")).unwrap();
        let failure = handle(check, "input", Message::new("no", "application/json")).unwrap_err();
        assert_eq!(failure.verdict, Verdict::Reject);
    }

    #[test]
    fn an_input_without_a_handler_is_reported_with_the_existing_ones() {
        let failure = no_handler("third", &["first", "second"]);
        assert!(failure.reason.contains("`third`") && failure.reason.contains("first, second"), "{}", failure.reason);
    }
}
