//! Values that an instance keeps from one message to the next: parsed only once.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::rc::Rc;

/// The values kept by one instance.
#[derive(Default)]
pub(crate) struct Kept {
    /// The parameters, by the type that they were read as: a handler may read them as several structs.
    pub(crate) parameters: HashMap<TypeId, Rc<dyn Any>>,
    /// The configuration, by the type that it was read as and the config type.
    pub(crate) config: HashMap<TypeId, HashMap<String, KeptType>>,
}

/// Values of one config type, all of one version of it.
#[derive(Default)]
pub(crate) struct KeptType {
    pub(crate) version: u64,
    pub(crate) values: HashMap<String, Rc<dyn Any>>,
}

/// Accesses the values kept by the current instance. `look` must not call anything that may call this again.
#[cfg(target_family = "wasm")]
pub(crate) fn look<R>(look: impl FnOnce(&mut Kept) -> R) -> R {
    use std::cell::RefCell;
    thread_local! {
        static KEPT: RefCell<Kept> = RefCell::default();
    }
    KEPT.with_borrow_mut(look)
}

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::look;
