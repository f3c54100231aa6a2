//! `weir prune`: removes files of components that nothing refers to, through a running Weir or, without one, under the folder's lock.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use weir_config::{ComponentFolder, Store, remove_unused};
use weir_flow::references::named_digests;
use weir_gateway::protocol::{Pruned, pruned};
use weir_runtime::{Checker, HostSettings};

use crate::args::{Prune, Reach};
use crate::client::{Client, data_option};
use crate::folder::{DataFolder, read_note};
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// Runs the command.
pub(crate) async fn run(reach: &Reach, data: &Path, format: Format, command: &Prune) -> Result<()> {
    let pruned = match &reach.gateway {
        Some(_) => through_gateway(reach, data, command).await,
        None => on_folder(data, command).await,
    }?;
    match format {
        Format::Json => output::json(&pruned)?,
        Format::Text => print(&pruned)?,
    }
    match pruned.failures.first() {
        None => Ok(()),
        Some(first) => {
            let what = format!("{} of the files cannot be removed", pruned.failures.len());
            Err(Problem::new(Exit::Failed, what).because(anyhow::Error::msg(first.clone())).into())
        }
    }
}

async fn through_gateway(reach: &Reach, data: &Path, command: &Prune) -> Result<Pruned> {
    let request = json!({"dry-run": command.dry_run});
    Ok(Client::find(reach, data)?.post("/api/v1/weir/components/prune", request.to_string()).await?)
}

/// Without a given address: under the folder's lock, or through the Weir that holds it.
async fn on_folder(data: &Path, command: &Prune) -> Result<Pruned> {
    let is_noted = read_note(data).is_ok_and(|note| note.is_some());
    if !data.join("config.sqlite").exists() {
        // The data folder belongs to a gateway with an external config service.
        if is_noted {
            return through_gateway(&Reach::default(), data, command).await;
        }
        let what = format!("{} has no configuration, so it is unknown which files are needed", data.display());
        return Err(Problem::new(Exit::NoFolder, what).next("give the data folder: --data DIR, or a running Weir: --gateway URL").into());
    }
    match DataFolder::lock(data, "weir prune") {
        Ok(folder) => under_lock(&folder, command).await,
        Err(_) if is_noted => through_gateway(&Reach::default(), data, command).await,
        Err(problem) => Err(problem.into()),
    }
}

async fn under_lock(folder: &DataFolder, command: &Prune) -> Result<Pruned> {
    let unreadable = |error: weir_config::ConfigError| {
        Problem::new(Exit::NoFolder, format!("{} cannot be read", folder.config().display()))
            .because(error)
            .next(format!("nothing was removed; run weir doctor{} to find the cause", data_option(folder.path())))
    };
    let store = Store::open(&folder.config()).await.map_err(unreadable)?;
    let everything = store.everything(usize::MAX).await.map_err(unreadable)?.value;
    store.close().await;
    let named = named_digests(&everything);
    let mut files = ComponentFolder::new(folder.components()).unused(&named).await?;
    let checker = Checker::new(HostSettings::instances_for_this_machine()).context("the engine cannot be created")?;
    files.extend(checker.unused_code(&folder.cache(), &named).context("the folder of compiled code cannot be read")?);
    let failures = if command.dry_run { Vec::new() } else { remove_unused(&files) };
    Ok(pruned(&files, command.dry_run, &failures))
}

fn print(pruned: &Pruned) -> std::io::Result<()> {
    let Pruned { dry_run, files, size_bytes, failures: _ } = pruned;
    if files.is_empty() {
        return output::line("nothing to remove");
    }
    let row = |file: &weir_gateway::protocol::PrunedFile| vec![file.kind.clone(), output::size(file.size_bytes), file.name.clone()];
    output::line(&output::table(&["what", "size", "file"], &[1], files.iter().map(row).collect()))?;
    let (count, size) = (output::number(files.len() as u64), output::size(*size_bytes));
    match dry_run {
        true => output::line(&format!("\n{count} files, {size} would be removed; run without --dry-run to remove them")),
        false => output::line(&format!("\n{count} files, {size} removed")),
    }
}
