//! `config`: the types that the descriptor declares, in the one state with which the call began.

use crate::bindings::weir::processor::config::Host;
use crate::guest::Guest;
use weir_pubsub::names;

impl Guest {
    /// An undeclared type is a bug, reported to the author.
    fn check_type(&self, config_type: &str) -> wasmtime::Result<()> {
        let declared = &self.variant.config_types;
        if declared.iter().any(|name| name == config_type) {
            return Ok(());
        }
        let shown = weir_pubsub::shown(config_type);
        let declared = names(declared.iter().map(String::as_str));
        Err(wasmtime::Error::msg(format!(
            "config type `{shown}` is not declared: add it to `config-types` of the descriptor (declared: {declared})"
        )))
    }
}

impl Host for Guest {
    fn get(&mut self, config_type: String, key: String) -> wasmtime::Result<Option<String>> {
        self.check_type(&config_type)?;
        Ok(self.config.content(&config_type).and_then(|content| content.get(&key)).cloned())
    }

    fn keys(&mut self, config_type: String) -> wasmtime::Result<Vec<String>> {
        self.check_type(&config_type)?;
        Ok(self.config.content(&config_type).map(|content| content.keys().cloned().collect()).unwrap_or_default())
    }

    fn version(&mut self, config_type: String) -> wasmtime::Result<u64> {
        self.check_type(&config_type)?;
        Ok(self.config.version_of(&config_type))
    }
}
