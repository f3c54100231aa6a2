//! `weir up`: everything on this machine, in one process and one data folder.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use weir_pubsub::embedded::OpeningReport;

use crate::client::data_option;
use crate::folder::DataFolder;
use crate::output::{self, Format};
use crate::serve::Roles;
use crate::settings::Settings;
use crate::shutdown::Signals;
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
    if let Some(secret) = &secret {
        folder.write_token(secret).context("the gateway's token cannot be kept in the data folder")?;
    }
    folder.write_note(&url).context("the gateway's address cannot be noted in the data folder")?;
    banner(data, format, &url, &roles, secret.as_ref())?;
    tracing::info!(url, folder = %data.display(), "weir is up");
    let failed = tokio::select! {
        error = roles.failed() => Some(error),
        signal = signals.next() => {
            tracing::info!(signal, "weir is stopping: messages in work are finished; a second signal leaves at once, and loses nothing");
            None
        }
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

/// What the queues held at the start, and what they had lost.
fn kept(opened: &OpeningReport) -> Vec<String> {
    let line = |count: u64, what: &str| (count > 0).then(|| format!("{} {what}", output::number(count)));
    let torn_count = opened.torn_tail.as_ref().map_or(0, |torn| torn.bytes);
    [
        line(opened.messages_count, "messages were kept from before"),
        line(
            opened.missing_count,
            "MESSAGES ARE MISSING: files of the log are gone; the log names the queues. Restore a backup to recover them",
        ),
        line(opened.damaged_count, "of the messages kept ARE DAMAGED: they are set aside when they are reached; the log names the queues"),
        line(torn_count, "bytes at the end of the log were cut off: an unfinished write; they are kept in queues/*.torn"),
    ]
    .into_iter()
    .flatten()
    .collect()
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
    for line in kept(&roles.opened) {
        output::line(&format!("  {line}"))?;
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
