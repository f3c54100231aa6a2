//! A gateway in this process, in front of the broker and services of a bench.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_config::ComponentFolder;
use weir_gateway::{GatewayError, GatewayParts, GatewaySettings};

use crate::fixture::WeirFixture;

/// A flow read by a program outside of Weir: messages stay in its queue.
const BLUEPRINT: &str = r#"{
    "blueprint": {},
    "flow": {"reader:{id}": {"topics": {"input": "flow:tg:in:{id}"}}},
    "interfaces": {"in": {"flow": "flow:tg:in:{id}"}, "out": {"flow": "flow:tg:out:{id}"}}
}"#;

/// Broker, services and gateway, with flow `bench`, its interface `in` and its exit `out`.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) fixture: WeirFixture,
    token: CancellationToken,
    serving: JoinHandle<Result<(), GatewayError>>,
}

impl Gateway {
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let fixture = WeirFixture::open(folder).await?;
        fixture.start_flow(BLUEPRINT).await?;
        let parts = GatewayParts {
            backend: fixture.broker.clone(),
            config: fixture.config.clone(),
            components: ComponentFolder::new(folder.join("components")).into(),
            inspect: Arc::new(|_, _| Err("nothing is deployed here".to_owned())),
            defaults: Default::default(),
            unused_code: Arc::new(|_| Ok(Vec::new())),
            topicspace: "tg".to_owned(),
            contract: weir_runtime::WORLD_VERSION,
            dropped_log_lines: || 0,
            settings: GatewaySettings::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let token = CancellationToken::new();
        let serving = tokio::spawn(weir_gateway::serve(listener, parts, token.clone()));
        Ok(Gateway { address, fixture, token, serving })
    }

    /// Messages in the queue behind `in`.
    pub(crate) fn stored_count(&self) -> u64 {
        self.depth_count(crate::fixture::INPUT)
    }

    /// Messages in the exit.
    pub(crate) fn exit_count(&self) -> u64 {
        self.depth_count(crate::fixture::OUTPUT)
    }

    fn depth_count(&self, topic: &str) -> u64 {
        let queues = self.fixture.broker.queues();
        queues.iter().filter(|(queue, _)| queue.topic().as_str() == topic).filter_map(|(_, stats)| stats.depth_count).sum()
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.token.cancel();
        self.serving.await??;
        self.fixture.end().await;
        Ok(())
    }
}

/// A JSON text of 1 KiB.
pub(crate) fn json_body() -> String {
    let letters: String = (0..1022_u32).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
    format!("\"{letters}\"")
}
