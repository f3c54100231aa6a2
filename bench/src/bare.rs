//! The least that a host can do: the same component on the same engine, with a `send` that pushes to a Vec.

use std::path::Path;

use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use weir_runtime::Engine;

mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "processor",
        ownership: Borrowing { duplicate_if_necessary: true },
        exports: { default: async },
    });
}

use bindings::weir::processor::delivery::{MessageParam, MessageResult};
use bindings::weir::processor::{config, context, delivery, log, messaging};

struct Guest {
    sent: Vec<MessageResult>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// An instance of the echo component without anything of Weir's around it.
pub(crate) struct Bare {
    store: Store<Guest>,
    processor: bindings::Processor,
}

impl Bare {
    pub(crate) async fn start(component: &[u8], cache: &Path) -> wasmtime::Result<Self> {
        let engine = Engine::new(4, cache).map_err(wasmtime::Error::new)?;
        let engine = engine.inner();
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        bindings::Processor::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let guest = Guest { sent: Vec::new(), wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(engine, guest);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let component = Component::new(engine, component)?;
        let processor = bindings::Processor::instantiate_async(&mut store, &component, &linker).await?;
        Ok(Bare { store, processor })
    }

    pub(crate) async fn handle(&mut self, body: &[u8]) -> wasmtime::Result<()> {
        let message = MessageParam { body, content_type: None, properties: &[] };
        self.store.set_epoch_deadline(1);
        let handled = self.processor.weir_processor_handler().call_handle(&mut self.store, "input", message).await?;
        handled.map_err(|failure| wasmtime::Error::msg(failure.reason))?;
        self.store.data_mut().sent.pop().map(drop).ok_or_else(|| wasmtime::Error::msg("the component sent nothing"))
    }
}

const UNUSED: &str = "the echo component does not call this";

impl messaging::Host for Guest {
    fn send(&mut self, _to: String, message: MessageResult) -> Result<(), messaging::CallError> {
        self.sent.push(message);
        Ok(())
    }
    fn reply(&mut self, _: MessageResult, _: messaging::Part) -> Result<(), messaging::CallError> {
        unreachable!("{UNUSED}")
    }
    fn request(&mut self, _: String, _: MessageResult, _: Option<u32>) -> Result<Vec<MessageResult>, messaging::CallError> {
        unreachable!("{UNUSED}")
    }
    fn begin_request(&mut self, _: String, _: MessageResult, _: Option<u32>) -> Result<u32, messaging::CallError> {
        unreachable!("{UNUSED}")
    }
    fn next_reply(&mut self, _: u32) -> Result<Option<MessageResult>, messaging::CallError> {
        unreachable!("{UNUSED}")
    }
}

impl context::Host for Guest {
    fn processor(&mut self) -> String {
        unreachable!("{UNUSED}")
    }
    fn flow(&mut self) -> String {
        unreachable!("{UNUSED}")
    }
    fn variant(&mut self) -> String {
        unreachable!("{UNUSED}")
    }
    fn deployment(&mut self) -> String {
        unreachable!("{UNUSED}")
    }
    fn parameter(&mut self, _: String) -> Option<String> {
        unreachable!("{UNUSED}")
    }
    fn parameters(&mut self) -> Vec<(String, String)> {
        unreachable!("{UNUSED}")
    }
    fn outputs(&mut self) -> Vec<String> {
        unreachable!("{UNUSED}")
    }
    fn message_id(&mut self) -> String {
        unreachable!("{UNUSED}")
    }
    fn attempt(&mut self) -> u32 {
        unreachable!("{UNUSED}")
    }
    fn remaining_ms(&mut self) -> u32 {
        unreachable!("{UNUSED}")
    }
}

impl config::Host for Guest {
    fn get(&mut self, _: String, _: String) -> Option<String> {
        unreachable!("{UNUSED}")
    }
    fn keys(&mut self, _: String) -> Vec<String> {
        unreachable!("{UNUSED}")
    }
    fn version(&mut self, _: String) -> u64 {
        unreachable!("{UNUSED}")
    }
}

impl log::Host for Guest {
    fn enabled(&mut self, _: log::Level) -> bool {
        unreachable!("{UNUSED}")
    }
    fn write(&mut self, _: log::Level, _: String, _: Vec<(String, String)>) {
        unreachable!("{UNUSED}")
    }
}

impl delivery::Host for Guest {}
