//! What an instance keeps from one message to the next: what was parsed once.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::rc::Rc;

/// What one instance keeps.
#[derive(Default)]
pub(crate) struct Kept {
    /// The parameters, by the type that they were read as: a handler may read the same ones as several structs.
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

/// Looks at what the instance in hand keeps. `look` must not call what may look again.
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
