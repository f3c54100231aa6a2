//! `context`: where an instance runs and which message it handles.

use crate::bindings::weir::processor::context::Host;
use crate::call::Phase;
use crate::guest::Guest;

impl Host for Guest {
    fn processor(&mut self) -> wasmtime::Result<String> {
        Ok(self.variant.processor.to_string())
    }

    fn flow(&mut self) -> wasmtime::Result<String> {
        Ok(self.variant.flow.to_string())
    }

    fn variant(&mut self) -> wasmtime::Result<String> {
        Ok(self.variant.name.to_string())
    }

    fn deployment(&mut self) -> wasmtime::Result<String> {
        Ok(self.variant.deployment.to_string())
    }

    fn parameter(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let parameters = &self.variant.parameters;
        Ok(parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
    }

    fn parameters(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.variant.parameters.clone())
    }

    fn outputs(&mut self) -> wasmtime::Result<Vec<String>> {
        let with_topics = self.variant.outputs.iter().filter(|output| output.topic.is_some());
        Ok(with_topics.map(|output| output.name.to_string()).collect())
    }

    fn message_id(&mut self) -> wasmtime::Result<String> {
        Ok(if self.call.phase == Phase::Handle { self.call.id.to_string() } else { String::new() })
    }

    fn attempt(&mut self) -> wasmtime::Result<u32> {
        Ok(self.call.attempt)
    }

    fn remaining_ms(&mut self) -> wasmtime::Result<u32> {
        if self.call.phase == Phase::Idle || self.variant.stop.is_cancelled() {
            return Ok(0);
        }
        let left = self.call.time.left();
        Ok(u32::try_from(left.as_millis()).unwrap_or(u32::MAX))
    }
}
