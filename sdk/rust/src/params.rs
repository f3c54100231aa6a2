//! The parameters of the processor's variant, as a struct.

use crate::bindings::base::weir::processor::context;
use crate::{Failure, FromMessage, Incoming, Result, parameter};
use serde::de::DeserializeOwned;
use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The parameters, read by serde: once in the life of an instance, since they never change in it.
///
/// A parameter is text. A field of a type other than text reads the text as such (`size: usize` the text `12`), one that is a list or a
/// struct reads it as JSON, an enum reads it as the name of one of its variants. A parameter without a value is missing, unless the field
/// is an `Option` or has a serde default; better, the descriptor gives a default. What cannot be read is a retry, not a reject: the
/// message is not at fault.
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

thread_local! {
    /// By type: a handler may read the same parameters as several structs.
    static READ: RefCell<HashMap<TypeId, Rc<dyn Any>>> = RefCell::default();
}

impl<T: DeserializeOwned + 'static> Params<T> {
    /// Reads them outside of a handler's parameters; for `setup`.
    ///
    /// # Errors
    /// A retry that names the parameter.
    pub fn get() -> Result<Self> {
        let known = READ.with_borrow(|read| read.get(&TypeId::of::<T>()).cloned());
        if let Some(known) = known.and_then(|known| known.downcast::<T>().ok()) {
            return Ok(Params(known));
        }
        let value: Rc<T> = parameter::read(context::parameters()).map(Rc::new).map_err(Failure::retry)?;
        READ.with_borrow_mut(|read| read.insert(TypeId::of::<T>(), value.clone()));
        Ok(Params(value))
    }
}

impl<T: DeserializeOwned + 'static> FromMessage for Params<T> {
    fn from_message(_: &mut Incoming<'_>) -> Result<Self> {
        Self::get()
    }
}
