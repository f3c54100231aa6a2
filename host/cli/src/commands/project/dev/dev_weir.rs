//! A Weir for one `weir dev`: a separate process with a temporary folder and a flow of one processor.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use weir_config::records::Descriptor;

use super::super::folder::Folder;
use super::borrowed_processor::swap_in;
use crate::args::Reach;
use crate::client::Client;
use crate::commands::Session;
use crate::commands::deploy::deploy_as;
use crate::commands::up::ENDS_WITH_PARENT;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// How long it may take to start.
const START_TIME: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The process ends when this is dropped.
pub(super) struct DevWeir {
    session: Session,
    child: Child,
    folder: Folder,
}

impl DevWeir {
    /// The flow's id, and its blueprint's.
    pub(super) const FLOW: &str = "dev";

    /// Starts it with a built component.
    pub(super) async fn start(
        component: &str,
        file: &Path,
        descriptor: &Descriptor,
        parameters: &[(String, String)],
    ) -> Result<Self, Problem> {
        let folder = Folder::make("dev").map_err(|error| failed("no temporary folder can be created", error))?;
        let child = spawn(folder.path())?;
        // From here on dropping ends the process.
        let mut weir = Starting { child: Some(child), folder: Some(folder) };
        let client = weir.answers().await?;
        let session = Session { client, format: Format::Text };
        deploy_as(&session, file, component).await?;
        let blueprint = blueprint(component, descriptor, parameters).to_string();
        let put = json!({"operation": "put-blueprint", "blueprint-name": Self::FLOW, "blueprint-definition": blueprint});
        session.client.ask_flow(&put).await?;
        let start =
            json!({"operation": "start-flow", "blueprint-name": Self::FLOW, "flow-id": Self::FLOW, "description": "", "parameters": {}});
        session.client.ask_flow(&start).await?;
        let Some((child, folder)) = weir.child.take().zip(weir.folder.take()) else { unreachable!("both are there") };
        let weir = DevWeir { session, child, folder };
        tell(descriptor, weir.folder.path()).map_err(|error| failed("the output cannot be written", error))?;
        Ok(weir)
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Deploys a further version and swaps it in.
    pub(super) async fn try_out(&self, file: &Path, processor: String, component: &str) -> Result<(), Problem> {
        deploy_as(&self.session, file, component).await?;
        swap_in(&self.session, Self::FLOW, processor, component).await
    }
}

impl Drop for DevWeir {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A process that does not run a flow yet.
struct Starting {
    child: Option<Child>,
    folder: Option<Folder>,
}

impl Starting {
    /// Waits until the gateway answers.
    async fn answers(&mut self) -> Result<Client, Problem> {
        let deadline = Instant::now() + START_TIME;
        let (Some(child), Some(folder)) = (&mut self.child, &self.folder) else { unreachable!("both are there") };
        loop {
            if let Ok(client) = Client::find(&Reach::default(), folder.path())
                && matches!(client.readiness_problem().await, Ok(None))
            {
                return Ok(client);
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(Problem::new(Exit::Failed, format!("the Weir of this command ended with {status}; what it printed is above")));
            }
            if Instant::now() > deadline {
                return Err(Problem::new(Exit::Failed, "the Weir of this command did not start within 60 s"));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.child.iter_mut().for_each(end);
    }
}

/// Kills the process: its folder is removed, so a graceful shutdown is not needed.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn failed(what: &str, error: std::io::Error) -> Problem {
    Problem::new(Exit::Failed, what).because(error)
}

fn spawn(data: &Path) -> Result<Child, Problem> {
    let cannot = |error| failed("a Weir for this command cannot be started", error);
    let program = std::env::current_exe().map_err(cannot)?;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"WEIR_")) {
        command.env_remove(name);
    }
    command.arg("--data").arg(data).args(["up", "--listen", "127.0.0.1:0"]).env("WEIR_LOG_FORMAT", "json").env(ENDS_WITH_PARENT, "1");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
    if let Some(log) = child.stderr.take() {
        std::thread::spawn(move || show_log(log));
    }
    Ok(child)
}

/// Shows the component's log and Weir's warnings.
fn show_log(log: impl Read) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        let shown = match serde_json::from_str::<Value>(&line) {
            Ok(event) => event_line(&event),
            Err(_) => Some(line),
        };
        if shown.is_some_and(|shown| output::line(&shown).is_err()) {
            return;
        }
    }
}

/// A log event as a line; `None` for events that are not relevant to authors.
fn event_line(event: &Value) -> Option<String> {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let level = text("level")?.to_lowercase();
    if text("target") == Some("weir::component") {
        let fields = text("fields").map(|fields| format!("  {fields}")).unwrap_or_default();
        return Some(output::block(&format!("log {level}  "), &format!("{}{fields}", text("line").unwrap_or_default())));
    }
    let is_shown = ["warn", "error"].contains(&level.as_str());
    is_shown.then(|| {
        let reason = text("error").or(text("reason")).map(|error| format!(": {error}")).unwrap_or_default();
        output::block(&format!("weir {level}  "), &format!("{}{reason}", text("message").unwrap_or_default()))
    })
}

/// A flow of one processor, with an interface for each input and output.
fn blueprint(component: &str, descriptor: &Descriptor, parameters: &[(String, String)]) -> Value {
    let name = component.split_once('@').map_or(component, |(name, _)| name);
    let (mut topics, mut interfaces) = (Map::new(), Map::new());
    let topic = |class: &str, name: &str| format!("{class}:tg:{name}:{{id}}");
    for consumer in &descriptor.consumers {
        match &consumer.reply {
            Some(reply) => {
                let (request, response) = (topic("request", &consumer.name), topic("response", reply));
                topics.insert(consumer.name.clone(), json!(request));
                topics.insert(reply.clone(), json!(response));
                interfaces.insert(consumer.name.clone(), json!({"request": request, "response": response}));
            }
            None => {
                topics.insert(consumer.name.clone(), json!(topic("flow", &consumer.name)));
                interfaces.insert(consumer.name.clone(), json!({"flow": topic("flow", &consumer.name)}));
            }
        }
    }
    for producer in descriptor.producers.iter().filter(|producer| producer.name != "*") {
        if !topics.contains_key(&producer.name) {
            topics.insert(producer.name.clone(), json!(topic("flow", &producer.name)));
            interfaces.insert(producer.name.clone(), json!({"flow": topic("flow", &producer.name)}));
        }
    }
    for request in &descriptor.requests {
        topics.insert(request.request.clone(), json!(topic("request", &request.name)));
        topics.insert(request.response.clone(), json!(topic("response", &request.name)));
    }
    let parameters: Map<String, Value> = parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let processor = json!({"topics": topics, "parameters": parameters});
    json!({
        "description": "The flow of `weir dev`",
        "blueprint": {},
        "flow": { format!("{name}:{{id}}"): processor },
        "interfaces": interfaces,
    })
}

/// Prints how to send messages into the flow.
fn tell(descriptor: &Descriptor, data: &Path) -> std::io::Result<()> {
    for consumer in &descriptor.consumers {
        let (verb, rest) = if consumer.reply.is_some() { ("request", "'JSON'") } else { ("send", "FILE.json") };
        output::line(&format!("  to try it   weir --data {} {verb} {} {} {rest}", data.display(), DevWeir::FLOW, consumer.name))?;
    }
    for request in &descriptor.requests {
        output::line(&format!("  requests to {} have no service here and time out", request.name))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use weir_flow::blueprint::Blueprint;

    #[test]
    fn the_flow_has_a_topic_for_everything_and_an_interface_for_each_input_and_output() {
        let text = br#"{"schema": 1, "consumers": ["input", {"name": "ask", "reply": "answer"}], "producers": ["output", "answer", "*"],
            "requests": [{"name": "model", "request": "model-request", "response": "model-response"}]}"#;
        let made = blueprint("counter@1.0.0", &Descriptor::parse(text).unwrap(), &[("a".into(), "1".into())]);
        let parsed = Blueprint::parse(&made.to_string()).unwrap();
        let topics: Vec<_> = parsed.processors[0].topics.keys().map(String::as_str).collect();
        assert_eq!(topics, ["answer", "ask", "input", "model-request", "model-response", "output"]);
        assert_eq!(made["interfaces"].as_object().unwrap().keys().collect::<Vec<_>>(), ["ask", "input", "output"]);
        assert_eq!(parsed.processors[0].processor, "counter");
    }

    #[test]
    fn the_log_shows_the_component_and_the_problem() {
        let line = |event: Value| event_line(&event);
        let said = json!({"level": "INFO", "target": "weir::component", "line": "seen", "fields": "n=\"1\"", "message": "component log"});
        assert_eq!(line(said).unwrap(), "log info  seen  n=\"1\"");
        assert_eq!(line(json!({"level": "INFO", "target": "weir", "message": "weir is up"})), None);
        assert_eq!(line(json!({"level": "WARN", "target": "w", "message": "given up", "error": "x"})).unwrap(), "weir warn  given up: x");
    }
}
