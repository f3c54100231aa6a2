//! Shows the output of a flow.

use tokio::task::JoinSet;
use weir_gateway::protocol::InterfaceKind;

use crate::client::{Lines, escaped};
use crate::commands::{Session, flow};
use crate::message::Line;
use crate::output;
use crate::problem::Problem;

/// Shows messages until it is dropped.
pub(super) struct OutputTap {
    _tasks: JoinSet<()>,
}

impl OutputTap {
    /// Starts showing the messages that pass the `flow` interfaces of a flow.
    pub(super) async fn begin(session: &Session, id: &str) -> Result<Self, Problem> {
        let found = flow::find(session, id).await?;
        let mut tasks = JoinSet::new();
        for (name, _) in found.interfaces.into_iter().filter(|(_, kind)| *kind == InterfaceKind::Flow) {
            let path = format!("/api/v1/weir/flows/{}/taps/{}", escaped(id), escaped(&name));
            let lines = session.client.lines(&path).await?;
            tasks.spawn(show(name, lines));
        }
        Ok(OutputTap { _tasks: tasks })
    }
}

async fn show(name: String, mut lines: Lines) {
    // A tap that ends is not restarted until the next `weir dev`; the flow continues without it.
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
