//! The state of one instance: its call in progress, its memory, its streams.

use std::sync::Arc;

use tracing::Level;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::call::Call;
use crate::config_state::ConfigState;
use crate::console::{Console, LogContext};
use crate::memory_limit::MemoryLimit;
use crate::untimed_waits::UntimedWaits;
use crate::variant::Variant;

/// The store data of an instance.
pub(crate) struct Guest {
    pub(crate) variant: Arc<Variant>,
    pub(crate) call: Call,
    pub(crate) config: Arc<ConfigState>,
    pub(crate) memory: MemoryLimit,
    pub(crate) log_context: Arc<LogContext>,
    pub(crate) stderr: Console,
    pub(crate) waits: UntimedWaits,
    wasi: WasiCtx,
    table: ResourceTable,
}

/// Files, streams and other resources that an instance may hold; each costs memory of the host.
const MAX_RESOURCES_COUNT: usize = 1_000;

impl Guest {
    pub(crate) fn new(variant: Arc<Variant>, config: Arc<ConfigState>) -> Self {
        let names = [&variant.processor, &variant.name, &variant.flow, &variant.deployment].map(Arc::clone);
        let log_context = Arc::new(LogContext::new(names, variant.log_quota.clone()));
        let stderr = Console::new(log_context.clone(), Level::WARN);
        // No files, addresses or variables: everything not configured here is refused.
        let wasi = WasiCtx::builder().stdout(Console::new(log_context.clone(), Level::INFO)).stderr(stderr.clone()).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES_COUNT);
        let memory = MemoryLimit::new(variant.limits.memory_bytes);
        let call = Call::new(variant.outputs.len());
        Guest { variant, call, config, memory, log_context, stderr, waits: UntimedWaits::new(), wasi, table }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
