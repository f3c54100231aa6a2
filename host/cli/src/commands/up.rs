//! `weir up`: everything on this machine, in one process and one data folder.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use weir_pubsub::{BrokerSettings, Notice, chain, shown_url};

use crate::client::data_option;
use crate::folder::{DataFolder, GatewayAccess};
use crate::output::{self, Format};
use crate::permissions;
use crate::problem::{Exit, Problem};
use crate::roles::{Access, Prerequisites, Roles};
use crate::settings::Settings;
use crate::shutdown::{Hangups, Signals};
use crate::space;
use crate::supervisor::EndedRole;

/// How long start-up waits for the banner to be written to standard output.
const BANNER_TIME: Duration = Duration::from_secs(1);

/// How `weir up` ended.
pub(crate) enum Ended {
    /// As requested, gracefully.
    Gracefully,
    /// By a second signal, without waiting for messages in flight.
    AtOnce,
}

/// How far start-up got.
enum Started {
    /// Everything runs.
    Up(Roles),
    /// Everything runs, and a signal arrived meanwhile.
    ToStop(Roles),
    /// A second signal arrived.
    AtOnce,
    /// A signal arrived before there was anything to stop.
    NotYet,
}

/// Runs until a signal arrives or a role fails.
pub(crate) async fn run(data: &Path, format: Format, settings: Settings) -> Result<Ended> {
    end_with_parent();
    let mut signals = Signals::catch().context("signals cannot be caught")?;
    let mut access = Access::of(&settings)?;
    let mut hangups = Hangups::catch(access.has_files()).context("signals cannot be caught")?;
    permissions::check_folder(data, settings.shared_folder)?;
    let folder = DataFolder::lock(data, "weir up")?;
    let exposed = permissions::warnings(data, settings.token_file.as_deref(), settings.tls_key.as_deref());
    for warning in &exposed {
        tracing::warn!(problem = %warning, "other users of the machine have access");
    }
    let mut roles = match begin(&folder, &settings, &access, &mut signals).await? {
        Started::NotYet => return Ok(Ended::Gracefully),
        Started::Up(roles) => roles,
        Started::ToStop(roles) => return Ok(stop(roles, settings.grace, &mut signals).await),
        Started::AtOnce => return Ok(Ended::AtOnce),
    };
    let noted = access.noted(roles.address);
    let is_noted = space::note(&folder, &noted);
    let mut text = banner(data, format, &noted, &settings.broker, &roles);
    if format == Format::Text {
        text.extend(warnings(&folder, &noted.url, is_noted));
        text.extend(exposed.iter().map(|warning| format!("\n  warning: {warning}")));
    }
    announce(text).await;
    tracing::info!(url = noted.url, listen = %roles.address, folder = %data.display(), "weir is up");
    let ended_role = run_until_end(&mut roles, &folder, (noted, is_noted), &mut access, (&mut signals, &mut hangups)).await;
    if let Some(EndedRole { role, reason }) = &ended_role {
        tracing::error!(role, error = reason, "a role ended, weir is stopping");
    }
    // Other commands must not find a Weir that no longer accepts requests.
    if let Err(error) = folder.remove_notes() {
        tracing::warn!(error = %chain(&error), "record of the gateway's address cannot be removed");
    }
    let ended = stop(roles, settings.grace, &mut signals).await;
    let kept = if settings.broker.kind().is_shared { "the broker".to_owned() } else { data.display().to_string() };
    ended_role.map_or(Ok(ended), |ended_role| Err(problem(&ended_role, data, &kept).into()))
}

/// Runs until a role ends unexpectedly, which is returned, or a signal arrives. Meanwhile rereads files on request.
async fn run_until_end(
    roles: &mut Roles,
    folder: &DataFolder,
    (mut noted, mut is_noted): (GatewayAccess, bool),
    access: &mut Access,
    (signals, hangups): (&mut Signals, &mut Hangups),
) -> Option<EndedRole> {
    loop {
        tokio::select! {
            ended_role = roles.failed() => return Some(ended_role),
            signal = signals.next() => {
                tracing::info!(signal, "shutting down: finishing messages in flight; a second signal forces the shutdown, and unfinished \
                     messages are redelivered");
                return None;
            }
            () = hangups.next() => {}
            never = space::keep(folder, &noted, is_noted) => match never {},
        }
        access.reread();
        noted = access.noted(roles.address);
        is_noted = space::note(folder, &noted);
    }
}

/// Environment variable set by a process whose Weir must end with it, however it ends.
pub(super) const ENDS_WITH_PARENT: &str = "_WEIR_ENDS_WITH_PARENT";

/// Lets the system end this process when its parent exits, if the parent requests it.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    if std::env::var_os(ENDS_WITH_PARENT).is_some() {
        use rustix::process::{Signal, set_parent_process_death_signal};
        if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
            tracing::warn!(error = %error, "this process may outlive the one that started it");
        }
    }
}

/// Warnings for operators on start-up, for example about a full disk.
fn warnings(folder: &DataFolder, url: &str, is_noted: bool) -> Vec<String> {
    let full = "\n  warning: the disk is full: no messages are accepted until space is freed; queued messages are still processed";
    let full = folder.is_disk_full().then(|| full.to_owned());
    full.into_iter().chain((!is_noted).then(|| format!("\n{}", unnoted(url)))).collect()
}

/// The warning that local commands cannot find the gateway.
pub(super) fn unnoted(url: &str) -> String {
    format!("  warning: the address could not be recorded in the data folder: local commands need --gateway {url}")
}

/// Starts everything. May have to wait for an external broker; a signal ends that wait.
async fn begin(folder: &DataFolder, settings: &Settings, access: &Access, signals: &mut Signals) -> Result<Started> {
    let prerequisites = Prerequisites::take(folder, settings);
    if !settings.broker.kind().is_shared {
        return start(async { Roles::start(prerequisites.await?, folder, settings, access).await }, signals).await;
    }
    let prerequisites = tokio::select! {
        prerequisites = prerequisites => prerequisites?,
        signal = signals.next() => {
            tracing::info!(signal, "weir has stopped");
            return Ok(Started::NotYet);
        }
    };
    start(Roles::start(prerequisites, folder, settings, access), signals).await
}

/// Waits for start-up. A signal does not cancel it: what was started is stopped in order afterwards.
async fn start(starting: impl Future<Output = Result<Roles>>, signals: &mut Signals) -> Result<Started> {
    let mut starting = pin!(starting);
    let signal = tokio::select! {
        started = &mut starting => return started.map(Started::Up),
        signal = signals.next() => signal,
    };
    tracing::info!(signal, "weir stops once it has started; a second signal forces the shutdown without losing messages");
    tokio::select! {
        started = &mut starting => started.map(Started::ToStop),
        _ = signals.next() => Ok(Started::AtOnce),
    }
}

async fn stop(roles: Roles, grace: Duration, signals: &mut Signals) -> Ended {
    tokio::select! {
        () = roles.stop(grace) => {
            tracing::info!("weir has stopped");
            Ended::Gracefully
        }
        signal = signals.next() => {
            tracing::warn!(signal, "forced shutdown");
            Ended::AtOnce
        }
    }
}

fn problem(EndedRole { role, reason }: &EndedRole, data: &Path, kept: &str) -> Problem {
    Problem::new(Exit::Failed, format!("{role} ended unexpectedly, so Weir stopped: {reason}")).next(format!(
        "all confirmed messages are in {kept}: restart Weir with weir up{}; unsettled messages are redelivered",
        data_option(data)
    ))
}

/// Prints the banner. A reader of standard output that stalls or has exited does not stop Weir.
pub(super) async fn announce(banner: String) {
    let printing = tokio::task::spawn_blocking(move || output::line(&banner));
    match tokio::time::timeout(BANNER_TIME, printing).await {
        Ok(Ok(Err(error))) => tracing::warn!(error = %chain(&error), "standard output cannot be written"),
        Ok(_) => {}
        Err(_) => tracing::warn!("standard output is not read"),
    }
}

fn banner(data: &Path, format: Format, noted: &GatewayAccess, broker: &BrokerSettings, roles: &Roles) -> String {
    let url = &noted.url;
    if format == Format::Json {
        return json!({"url": url, "pid": std::process::id(), "data": data}).to_string();
    }
    let weir = format!("weir{}", data_option(data));
    let mut lines = vec![
        output::bold(&format!("Weir {} is up at {url}", env!("CARGO_PKG_VERSION"))),
        format!("  data in {}, process {}; press Ctrl-C to stop", data.display(), std::process::id()),
    ];
    if broker.kind().is_shared {
        lines.push(format!("  broker {}", shown_url(&broker.url)));
    }
    if !roles.address.ip().is_loopback() {
        lines.push(format!("  reachable from other machines: it listens on {}", roles.address));
    }
    if let Some(secret) = &noted.secret {
        lines.push(format!("  requires a token from {}; commands on this data folder find it there", secret.from()));
    }
    for Notice { count, text } in roles.notices() {
        lines.push(match count {
            Some(count) => format!("  {} {text}", output::number(count)),
            None => format!("  {text}"),
        });
    }
    lines.push("\nNext, in another terminal:".to_owned());
    for (arguments, what) in [
        ("deploy NAME@VERSION FILE.wasm", "deploy a processor"),
        ("blueprint put NAME FILE.json", "store the template of a flow"),
        ("flow start BLUEPRINT FLOW", "start a flow"),
        ("status", "show the status of everything"),
    ] {
        lines.push(format!("  {:<46} {what}", format!("{weir} {arguments}")));
    }
    lines.join("\n")
}
