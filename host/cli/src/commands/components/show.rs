//! `weir components show`: one deployment with its effective limits.

use std::collections::BTreeMap;

use anyhow::Result;
use weir_gateway::protocol::{Deployment, EffectiveLimit, LimitSource};

use crate::client::escaped;
use crate::commands::Session;
use crate::output::{self, Format};

/// Shows a deployment.
pub(super) async fn show(session: &Session, component: &str) -> Result<()> {
    let found: Deployment = session.client.get(&format!("/api/v1/weir/deployments/{}", escaped(component))).await?;
    match session.format {
        Format::Json => output::json(&found)?,
        Format::Text => print(&found)?,
    }
    Ok(())
}

fn print(found: &Deployment) -> std::io::Result<()> {
    let Deployment { component, record, limits, retry } = found;
    output::heading(&format!("{component}: {}, weir:processor {}, {}", output::size(record.size_bytes), record.world, record.digest))?;
    let descriptor = &record.descriptor;
    let names = |names: Vec<&str>| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    output::line(&format!("  consumes    {}", names(descriptor.consumers.iter().map(|it| it.name.as_str()).collect())))?;
    output::line(&format!("  produces    {}", names(descriptor.producers.iter().map(|it| it.name.as_str()).collect())))?;
    if !descriptor.parameters.is_empty() {
        output::line(&format!("  parameters  {}", names(descriptor.parameters.iter().map(|it| it.name.as_str()).collect())))?;
    }
    let rows = rows("limits", limits).chain(rows("retry", retry)).collect();
    output::line(&format!("\n{}", output::fitted(&["limit", "value", "from"], &[1], rows, output::width())))
}

fn rows(section: &str, limits: &BTreeMap<String, EffectiveLimit>) -> impl Iterator<Item = Vec<String>> {
    let from = |from: LimitSource| match from {
        LimitSource::Deployment => "this deployment",
        LimitSource::Settings => "settings",
    };
    limits.iter().map(move |(name, limit)| vec![format!("{section}.{name}"), output::number(limit.value), from(limit.from).to_owned()])
}
