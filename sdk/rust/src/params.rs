//! The parameters of the processor's variant, as a struct.

use crate::imports::context;
use crate::{Failure, FromMessage, Incoming, Result, kept, parameter};
use serde::de::DeserializeOwned;
use std::any::TypeId;
use std::rc::Rc;

/// The parameters, read by serde: once per instance, since they never change in it.
///
/// A parameter is a string. A field that is not a string parses it (`size: usize` the string `12`), a list or a struct reads it as JSON, an
/// enum as the name of one of its variants. A parameter without a value is missing, unless the field is an `Option` or has a serde default;
/// preferably the descriptor has a default. A parameter that cannot be read is a retry, not a reject: the message is not at fault.
///
/// ```
/// use serde::Deserialize;
/// use weir::{Params, Text};
///
/// #[derive(Deserialize)]
/// #[serde(rename_all = "kebab-case")]
/// struct Settings {
///     max_words: usize,
///     prefix: Option<String>,
/// }
///
/// fn shorten(Params(settings): Params<Settings>, Text(text): Text) -> Text {
///     let words: Vec<&str> = text.split_whitespace().take(settings.max_words).collect();
///     Text(settings.prefix.clone().unwrap_or_default() + &words.join(" "))
/// }
///
/// weir::processor!(shorten);
/// ```
#[derive(Clone, Debug)]
pub struct Params<T>(pub Rc<T>);

impl<T: DeserializeOwned + 'static> Params<T> {
    /// Reads them without a handler's parameters, for example in `setup`.
    ///
    /// # Errors
    /// A retry that names the parameter.
    pub fn get() -> Result<Self> {
        let known = kept::look(|kept| kept.parameters.get(&TypeId::of::<T>()).cloned());
        if let Some(known) = known.and_then(|known| known.downcast::<T>().ok()) {
            return Ok(Params(known));
        }
        let value: Rc<T> = parameter::read(context::parameters()).map(Rc::new).map_err(Failure::retry)?;
        kept::look(|kept| kept.parameters.insert(TypeId::of::<T>(), value.clone()));
        Ok(Params(value))
    }
}

impl<T: DeserializeOwned + 'static> FromMessage for Params<T> {
    fn from_message(_: &mut Incoming<'_>) -> Result<Self> {
        Self::get()
    }
}
