//! `weir up`: everything on this machine, in one process and one data folder.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::client::data_option;
use crate::folder::DataFolder;
use crate::output::{self, Format};
use crate::serve::Roles;
use crate::settings::Settings;
use crate::shutdown::Signals;
use crate::space;
use crate::token::Secret;

/// How `weir up` ended.
pub(crate) enum Ended {
    /// As it was told, with everything in order.
    Gracefully,
    /// By a second signal, which did not wait for messages in work.
    AtOnce,
}

/// Runs until a signal comes or a role fails.
pub(crate) async fn run(data: &Path, format: Format, settings: Settings) -> Result<Ended> {
    let mut signals = Signals::catch().context("signals cannot be caught")?;
    let secret = Secret::of_up(settings.token_file.as_deref())?;
    let token = secret.as_ref().map(Secret::to_token).transpose()?;
    let folder = DataFolder::lock(data)?;
    let started = tokio::select! {
        started = Roles::start(&folder, &settings, token) => started,
        _ = signals.next() => return Ok(Ended::AtOnce),
    };
    let mut roles = started?;
    let url = format!("http://{}", roles.address);
    let is_noted = space::note(&folder, &url, secret.as_ref());
    banner(data, format, &url, &roles, secret.as_ref())?;
    warnings(&folder, format, &url, is_noted)?;
    tracing::info!(url, folder = %data.display(), "weir is up");
    let failed = tokio::select! {
        error = roles.failed() => Some(error),
        signal = signals.next() => {
            tracing::info!(signal, "weir is stopping: messages in work are finished; a second signal leaves at once, and loses nothing");
            None
        }
        never = space::keep(&folder, &url, secret.as_ref(), is_noted) => match never {},
    };
    // The other commands shall not find a Weir that takes nothing more.
    folder.remove_notes().context("the note of the gateway's address cannot be removed")?;
    tokio::select! {
        () = roles.stop(settings.grace) => {}
        signal = signals.next() => {
            tracing::warn!(signal, "weir leaves at once");
            return Ok(Ended::AtOnce);
        }
    }
    tracing::info!("weir has stopped");
    failed.map_or(Ok(Ended::Gracefully), Err)
}

/// What an operator should see at once of a start on a full disk.
fn warnings(folder: &DataFolder, format: Format, url: &str, is_noted: bool) -> std::io::Result<()> {
    if format == Format::Json {
        return Ok(());
    }
    if folder.is_disk_full() {
        output::line("  warning: the disk is full: no messages are accepted until it has room; those in the queues are processed")?;
    }
    if !is_noted {
        output::line(&format!("  warning: the address could not be noted in the data folder: local commands need --gateway {url}"))?;
    }
    Ok(())
}

fn banner(data: &Path, format: Format, url: &str, roles: &Roles, secret: Option<&Secret>) -> std::io::Result<()> {
    if format == Format::Json {
        return output::line(&json!({"url": url, "pid": std::process::id(), "data": data}).to_string());
    }
    let weir = format!("weir{}", data_option(data));
    output::heading(&format!("Weir {} is up at {url}", env!("CARGO_PKG_VERSION")))?;
    output::line(&format!("  data in {}, process {}; Ctrl-C stops it", data.display(), std::process::id()))?;
    if let Some(secret) = secret {
        output::line(&format!("  only who shows the token of {} may use it; commands on this data folder find it there", secret.from()))?;
    }
    if roles.kept_count > 0 {
        output::line(&format!("  {} messages were kept from before", output::number(roles.kept_count)))?;
    }
    output::line("\nNext, in another terminal:")?;
    for (arguments, what) in [
        ("deploy NAME@VERSION FILE.wasm", "bring a processor"),
        ("blueprint put NAME FILE.json", "bring the template of a flow"),
        ("flow start BLUEPRINT FLOW", "start a flow"),
        ("status", "see how everything is"),
    ] {
        output::line(&format!("  {:<46} {what}", format!("{weir} {arguments}")))?;
    }
    Ok(())
}
