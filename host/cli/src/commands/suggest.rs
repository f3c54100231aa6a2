//! "Did you mean": after a command failed, compares the names that it used with existing ones.

use serde_json::{Value, json};
use weir_gateway::protocol::Status;

use super::Session;
use crate::args::{Blueprint, Command, DeadLetters, Flow};
use weir_pubsub::nearest;

/// The names in a command that refer to existing things.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    flow: Option<String>,
    interface: Option<String>,
    processor: Option<String>,
    blueprint: Option<String>,
}

impl Names {
    /// The names that a command looks up, not those that it creates.
    pub(crate) fn of(command: &Command) -> Self {
        let flow = |flow: &str| Names { flow: Some(flow.to_owned()), ..Names::default() };
        let blueprint = |blueprint: &str| Names { blueprint: Some(blueprint.to_owned()), ..Names::default() };
        let interface = |of: &str, interface: &str| Names { interface: Some(interface.to_owned()), ..flow(of) };
        match command {
            Command::Blueprint(Blueprint::Get { name } | Blueprint::Delete { name }) => blueprint(name),
            Command::Flow(Flow::Start { blueprint: name, .. }) => blueprint(name),
            Command::Flow(Flow::Stop { flow: id, .. } | Flow::Show { flow: id }) => flow(id),
            Command::DeadLetters(DeadLetters::Redrive(redrive)) => Names { flow: redrive.letters.flow.clone(), ..Names::default() },
            Command::Queues(queues) => Names { flow: queues.flow.clone(), ..Names::default() },
            Command::Swap(swap) => Names { processor: Some(swap.processor.clone()), ..flow(&swap.flow) },
            Command::Send(send) => interface(&send.flow, &send.interface),
            Command::Request(request) => interface(&request.flow, &request.interface),
            Command::Tail(tail) => interface(&tail.flow, &tail.interface),
            Command::Take(take) => interface(&take.flow, &take.interface),
            _ => Names::default(),
        }
    }

    /// The suggestion, for people, if one of the names does not exist and a similar one does. No suggestion if names cannot be looked up.
    pub(crate) async fn advice(&self, session: &Session) -> Option<String> {
        if let Some(blueprint) = &self.blueprint {
            let answer = session.client.ask_flow(&json!({"operation": "list-blueprints"})).await.ok()?;
            let names: Vec<&str> = answer.get("blueprint-names")?.as_array()?.iter().filter_map(Value::as_str).collect();
            return meant("blueprint", blueprint, &names);
        }
        let flow = self.flow.as_ref()?;
        let Status { flows, .. } = session.client.get("/api/v1/weir/status").await.ok()?;
        let Some(found) = flows.iter().find(|found| found.id == *flow) else {
            let names: Vec<&str> = flows.iter().map(|flow| flow.id.as_str()).collect();
            return meant("flow", flow, &names);
        };
        if let Some(interface) = &self.interface {
            return meant("interface", interface, &found.interfaces.keys().map(String::as_str).collect::<Vec<_>>());
        }
        let processor = self.processor.as_deref()?;
        let (name, variant) = processor.split_once(':').map_or((processor, None), |(name, variant)| (name, Some(variant)));
        let names: Vec<&str> = found.processors.iter().map(|processor| processor.processor.as_str()).collect();
        match variant {
            Some(variant) if names.contains(&name) => {
                let of_name = found.processors.iter().filter(|processor| processor.processor == name);
                meant("variant", variant, &of_name.map(|processor| processor.variant.as_str()).collect::<Vec<_>>())
            }
            _ => meant("processor", name, &names),
        }
    }
}

fn meant(what: &str, given: &str, names: &[&str]) -> Option<String> {
    if names.contains(&given) {
        return None;
    }
    nearest(given, names.iter().copied()).map(|name| format!("did you mean the {what} `{name}`?"))
}
