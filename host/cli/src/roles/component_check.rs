//! The check of components before they are deployed or run.

use std::sync::{Arc, LazyLock};

use weir_config::records::{ComponentRecord, GivenLimits};
use weir_gateway::{ComponentCheck, UnusedCode};
use weir_pubsub::chain;
use weir_runtime::{Checker, Inspected, RuntimeError};

use crate::folder::DataFolder;
use crate::settings::Settings;

type MakeChecker = Box<dyn FnOnce() -> Result<Checker, RuntimeError> + Send>;

/// The component checker, created on first use: most starts do not need it.
#[derive(Clone)]
pub(super) struct LazyChecker(Arc<LazyLock<Result<Checker, RuntimeError>, MakeChecker>>);

impl LazyChecker {
    /// For a host with this number of instance slots.
    pub(super) fn new(instances_count: u32) -> Self {
        LazyChecker(Arc::new(LazyLock::new(Box::new(move || Checker::new(instances_count)))))
    }

    fn get(&self) -> Result<&Checker, String> {
        LazyLock::force(&self.0).as_ref().map_err(|error| chain(error))
    }
}

/// Checks components under their effective limits: given limits, then those that the component requests, as far as they are granted, then the
/// settings. The record has the first two.
pub(super) fn inspect_with(settings: &Settings, checker: LazyChecker) -> ComponentCheck {
    let (limits, most) = (settings.limits.clone(), settings.grantable.clone());
    Arc::new(move |bytes: &[u8], given: &GivenLimits| {
        let mut granted = given.clone();
        let limits_of = |inspected: &Inspected| {
            granted = inspected.descriptor.limits.granted(given, &most).map_err(|error| error.to_string())?;
            Ok::<_, String>(granted.over(&limits))
        };
        let checked = checker.get()?.check_under(bytes, limits_of).map_err(|fault| chain(&fault))?;
        Ok(ComponentRecord { limits: granted, ..ComponentRecord::from(checked) })
    })
}

/// Finds unused compiled code in the host's folder.
pub(super) fn unused_code_of(folder: &DataFolder, checker: LazyChecker) -> UnusedCode {
    let cache = folder.cache();
    Arc::new(move |named| checker.get().map_err(std::io::Error::other)?.unused_code(&cache, named))
}
