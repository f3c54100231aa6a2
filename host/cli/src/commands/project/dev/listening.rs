//! What leaves a flow, shown as it passes.

use tokio::task::JoinSet;
use weir_gateway::protocol::{InterfaceKind, Status};

use crate::client::{Lines, escaped};
use crate::commands::Session;
use crate::message::Line;
use crate::output;
use crate::problem::{Exit, Problem};

/// Shows messages until it is dropped.
pub(super) struct Listening {
    _tasks: JoinSet<()>,
}

impl Listening {
    /// Begins to show what passes the interfaces of a flow that carry messages one way.
    pub(super) async fn begin(session: &Session, flow: &str) -> Result<Self, Problem> {
        let Status { flows, .. } = session.client.get("/api/v1/weir/status").await?;
        let found = flows.into_iter().find(|found| found.id == flow);
        let found = found.ok_or_else(|| Problem::new(Exit::Failed, format!("there is no flow `{flow}`")).next("weir flow list"))?;
        let mut tasks = JoinSet::new();
        for (name, _) in found.interfaces.into_iter().filter(|(_, kind)| *kind == InterfaceKind::Flow) {
            let path = format!("/api/v1/weir/flows/{}/taps/{}", escaped(flow), escaped(&name));
            let lines = session.client.lines(&path).await?;
            tasks.spawn(show(name, lines));
        }
        Ok(Listening { _tasks: tasks })
    }
}

async fn show(name: String, mut lines: Lines) {
    // A tap that ends is begun again with the next `weir dev`; the flow goes on without it.
    while let Ok(Some(line)) = lines.next().await {
        let Ok(read) = Line::read(&line) else { continue };
        if read.is_message() {
            let mut body = Vec::new();
            read.write_body(&mut body);
            let body = output::block(&format!("{name}  "), &String::from_utf8_lossy(&body));
            if output::line(&body).is_err() {
                return;
            }
        }
    }
}
