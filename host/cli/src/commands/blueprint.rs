//! `weir blueprint`: templates of flows.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Session, check_json, notes};
use crate::args::Blueprint;
use crate::input::read_input;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// Runs one of the commands.
pub(crate) async fn run(session: &Session, command: Blueprint) -> Result<()> {
    match command {
        Blueprint::Put { name, file } => put(session, &name, &file).await,
        Blueprint::Get { name } => get(session, &name).await,
        Blueprint::List => list(session).await,
        Blueprint::Delete { name } => delete(session, &name).await,
    }
}

async fn put(session: &Session, name: &str, file: &Path) -> Result<()> {
    let bytes = read_input(file)?;
    check_json(&bytes, &format!("the blueprint in {}", file.display()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| Problem::new(Exit::BadInput, format!("{} is not UTF-8", file.display())).because(error))?;
    let request = json!({"operation": "put-blueprint", "blueprint-name": name, "blueprint-definition": text});
    let answer = session.client.ask_flow(&request).await?;
    let notes = notes(&answer);
    match session.format {
        Format::Json => output::json(&json!({"blueprint": name, "notes": notes}))?,
        Format::Text => {
            output::line(&format!("blueprint {name} stored; start a flow from it: weir flow start {name} FLOW"))?;
            notes.iter().try_for_each(|note| output::line(&format!("  note: {note}")))?;
        }
    }
    Ok(())
}

/// The text of a blueprint, which must exist.
async fn find(session: &Session, name: &str) -> Result<String, Problem> {
    let answer = session.client.ask_flow(&json!({"operation": "get-blueprint", "blueprint-name": name})).await?;
    answer.get("blueprint-definition").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| {
        Problem::new(Exit::Failed, format!("there is no blueprint `{name}`")).next("weir blueprint list shows all blueprints")
    })
}

async fn get(session: &Session, name: &str) -> Result<()> {
    let text = find(session, name).await?;
    match serde_json::from_str::<Value>(&text) {
        Ok(_) => output::line(text.trim_end())?,
        // Another program stored it; it is shown unchanged.
        Err(_) => output::json(&text)?,
    }
    Ok(())
}

async fn list(session: &Session) -> Result<()> {
    let answer = session.client.ask_flow(&json!({"operation": "list-blueprints"})).await?;
    let names = answer.get("blueprint-names").cloned().unwrap_or_else(|| json!([]));
    match session.format {
        Format::Json => output::json(&names)?,
        Format::Text => {
            let names: Vec<&str> = names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if names.is_empty() {
                output::line("no blueprints; store one: weir blueprint put NAME FILE.json")?;
            }
            names.into_iter().try_for_each(output::line)?;
        }
    }
    Ok(())
}

async fn delete(session: &Session, name: &str) -> Result<()> {
    // The service accepts unknown names, but after a typo the user would believe the blueprint was deleted.
    find(session, name).await?;
    session.client.ask_flow(&json!({"operation": "delete-blueprint", "blueprint-name": name})).await?;
    match session.format {
        Format::Json => output::json(&json!({"blueprint": name}))?,
        Format::Text => output::line(&format!("blueprint {name} deleted; flows started from it keep running"))?,
    }
    Ok(())
}
