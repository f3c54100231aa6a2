//! The least that a host can do: the same component on the same engine, with a `send` that pushes to a Vec.

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
    parameters: Vec<(String, String)>,
    sent: Vec<MessageResult>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// An instance of a component without any of Weir around it.
pub(crate) struct Bare {
    store: Store<Guest>,
    processor: bindings::Processor,
}

impl Bare {
    pub(crate) fn compiled(engine: &Engine, component: &[u8]) -> wasmtime::Result<Component> {
        Component::new(engine.inner(), component)
    }

    pub(crate) async fn start(engine: &Engine, component: &Component, parameters: Vec<(String, String)>) -> wasmtime::Result<Self> {
        let engine = engine.inner();
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        bindings::Processor::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let guest = Guest { parameters, sent: Vec::new(), wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(engine, guest);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = linker.instantiate_async(&mut store, component).await?;
        if let Some(setup) = instance.get_export_index(&mut store, None, SETUP) {
            let configure = instance.get_export_index(&mut store, Some(&setup), "configure");
            let configure = configure.ok_or_else(|| wasmtime::Error::msg("setup without configure"))?;
            let configure = instance.get_typed_func::<(&[String],), (Result<(), String>,)>(&mut store, &configure)?;
            configure.call_async(&mut store, (&[],)).await?.0.map_err(wasmtime::Error::msg)?;
        }
        let processor = bindings::Processor::new(&mut store, &instance)?;
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

const SETUP: &str = "weir:processor/setup@0.1.0";
const UNUSED: &str = "the components of this bench do not call this";

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
        "bench".to_owned()
    }
    fn flow(&mut self) -> String {
        "bench".to_owned()
    }
    fn variant(&mut self) -> String {
        "bench".to_owned()
    }
    fn deployment(&mut self) -> String {
        "bench".to_owned()
    }
    fn parameter(&mut self, name: String) -> Option<String> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
    fn parameters(&mut self) -> Vec<(String, String)> {
        self.parameters.clone()
    }
    fn outputs(&mut self) -> Vec<String> {
        vec!["output".to_owned()]
    }
    fn message_id(&mut self) -> String {
        "0".repeat(32)
    }
    fn attempt(&mut self) -> u32 {
        1
    }
    fn remaining_ms(&mut self) -> u32 {
        30_000
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
        0
    }
}

impl log::Host for Guest {
    fn enabled(&mut self, _: log::Level) -> bool {
        false
    }
    fn write(&mut self, _: log::Level, _: String, _: Vec<(String, String)>) {
        unreachable!("{UNUSED}")
    }
}

impl delivery::Host for Guest {}
