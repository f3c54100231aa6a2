//! One variant of a processor, ready to run: a component with its topics, parameters and limits. All its instances share it.

use std::sync::Arc;

use weir_config::records::{ComponentRecord, ComponentRef, Entry};

use crate::component::CompiledComponent;
use crate::error::RuntimeError;
use crate::replacements::Replacements;
use crate::routes::Input;
use crate::slots::{Purpose, SlotPermit};
use crate::variant::{ProgramEnvironment, Variant};

/// A component with the parts that one entry defines.
pub struct Program {
    pub(crate) variant: Arc<Variant>,
    pub(crate) loaded: Arc<CompiledComponent>,
    pub(crate) replacements: Replacements,
}

impl Program {
    /// Fits a component to an entry.
    ///
    /// # Errors
    /// `Entry`, with every mismatch.
    pub fn new(
        names: (&str, &str),
        entry: &Entry,
        component: ComponentRef,
        record: &ComponentRecord,
        loaded: Arc<CompiledComponent>,
        environment: ProgramEnvironment,
    ) -> Result<Self, RuntimeError> {
        let variant = Arc::new(Variant::new(names, entry, component, record, environment)?);
        Ok(Program { variant, loaded, replacements: Replacements::default() })
    }

    /// The purpose of an instance that handles messages of an input.
    pub(crate) fn purpose(&self, input: usize) -> Purpose {
        if self.variant.inputs.get(input).is_some_and(Input::is_request) { Purpose::Request } else { Purpose::Flow }
    }

    /// The purpose of an instance that handles messages of an input, and the number of slots it takes.
    pub(crate) fn needs(&self, input: usize) -> (Purpose, u32) {
        (self.purpose(input), self.loaded.slots_count)
    }

    /// Waits for the slots of an instance that handles messages of an input.
    ///
    /// # Cancel safety
    /// Dropping the future loses only the turn.
    pub(crate) async fn slot(&self, input: usize) -> SlotPermit {
        let (purpose, count) = self.needs(input);
        self.loaded.engine.slots().acquire(purpose, count).await
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("processor", &self.variant.processor)
            .field("variant", &self.variant.name)
            .field("deployment", &self.variant.deployment)
            .finish_non_exhaustive()
    }
}
