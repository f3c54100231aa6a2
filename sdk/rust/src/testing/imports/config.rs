//! `config`: the types that the descriptor declares.

use crate::testing::instance::{Instance, here};
use crate::testing::wording::{names, shown};

/// Reading an undeclared type is a trap, since it is a bug that the author must see.
#[track_caller]
fn of_declared<R>(config_type: &str, read: impl FnOnce(&Instance) -> R) -> R {
    let read = here("configuration", |instance| {
        let declared = &instance.descriptor.config_types;
        if declared.iter().any(|declared| declared.name == config_type) {
            return Ok(read(instance));
        }
        Err(names(declared.iter().map(|declared| declared.name.as_str())))
    });
    read.unwrap_or_else(|declared| {
        let shown = shown(config_type);
        panic!("config type `{shown}` is not declared: add it to `config-types` of the descriptor (declared: {declared})")
    })
}

#[track_caller]
pub(crate) fn get(config_type: &str, key: &str) -> Option<String> {
    of_declared(config_type, |instance| instance.config.values(config_type)?.get(key).cloned())
}

#[track_caller]
pub(crate) fn keys(config_type: &str) -> Vec<String> {
    of_declared(config_type, |instance| {
        instance.config.values(config_type).map(|values| values.keys().cloned().collect()).unwrap_or_default()
    })
}

#[track_caller]
pub(crate) fn version(config_type: &str) -> u64 {
    of_declared(config_type, |instance| instance.config.version_of(config_type))
}
