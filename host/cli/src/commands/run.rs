//! `weir run ROLE`: one role in this process, which waits for its dependencies.

use std::path::Path;
use std::pin::pin;

use anyhow::{Context, Result};
use serde_json::json;
use weir_pubsub::{Notice, chain, shown_url};

use super::up::{Ended, announce, unnoted};
use crate::args::{Reach, Run, SettingFlags};
use crate::folder::{DataFolder, GatewayAccess};
use crate::output::{self, Format};
use crate::permissions;
use crate::problem::{Exit, Problem};
use crate::roles::{Access, Chosen, HostOptions, Single};
use crate::settings::Settings;
use crate::shutdown::{Hangups, Signals};
use crate::space;
use crate::supervisor::EndedRole;
use crate::token::Secret;

/// The flags of a role that are settings.
pub(crate) fn flags(run: &Run) -> SettingFlags {
    match run {
        Run::Config(flags) | Run::Flow(flags) => flags.clone().into(),
        Run::Host(host) => host.flags.clone().into(),
        Run::Gateway(gateway) => gateway.flags.clone(),
    }
}

/// The name of the role on the command line.
pub(crate) fn word(run: &Run) -> &'static str {
    match run {
        Run::Config(_) => "config",
        Run::Flow(_) => "flow",
        Run::Host(_) => "host",
        Run::Gateway(_) => "gateway",
    }
}

/// Runs until a signal arrives or the role fails.
pub(crate) async fn run(data: &Path, reach: Reach, format: Format, settings: Settings, run: Run) -> Result<Ended> {
    let role = word(&run);
    if !settings.broker.kind().is_shared {
        return Err(embedded(role).into());
    }
    let mut signals = Signals::catch().context("signals cannot be caught")?;
    let mut access = matches!(run, Run::Gateway(_)).then(|| Access::of(&settings)).transpose()?;
    let mut hangups = Hangups::catch(access.as_ref().is_some_and(Access::has_files)).context("signals cannot be caught")?;
    let chosen = choose(run, reach, access.as_ref())?;
    permissions::check_folder(data, settings.shared_folder)?;
    let folder = DataFolder::lock(data, &format!("weir run {role}"))?;
    for warning in permissions::warnings(data, settings.token_file.as_deref(), settings.tls_key.as_deref()) {
        tracing::warn!(problem = %warning, "other users of the machine have access");
    }
    let mut single = tokio::select! {
        single = Single::start(chosen, &folder, &settings) => single?,
        signal = signals.next() => {
            tracing::info!(signal, "weir has stopped");
            return Ok(Ended::Gracefully);
        }
    };
    let noted = note(&folder, access.as_ref(), &single);
    let url = noted.as_ref().map(|(noted, _)| noted.url.clone());
    let is_noted = noted.as_ref().is_none_or(|(_, is_noted)| *is_noted);
    announce(banner(data, format, role, url.as_deref(), &settings, &single, is_noted)).await;
    tracing::info!(role, url, folder = %data.display(), "role is up");
    let ended_role = work(&mut single, &folder, noted, access.as_mut(), (&mut signals, &mut hangups)).await;
    if let Some(EndedRole { role, reason }) = &ended_role {
        tracing::error!(role, error = reason, "a role ended, weir is stopping");
    }
    if let Err(error) = folder.remove_notes() {
        tracing::warn!(error = %chain(&error), "record of the gateway's address cannot be removed");
    }
    let ended = tokio::select! {
        () = single.stop(settings.grace) => {
            tracing::info!("weir has stopped");
            Ended::Gracefully
        }
        signal = signals.next() => {
            tracing::warn!(signal, "forced shutdown");
            Ended::AtOnce
        }
    };
    ended_role.map_or(Ok(ended), |ended_role| Err(problem(&ended_role, role).into()))
}

/// Records how commands on the data folder reach a gateway. Also returns whether that succeeded.
fn note(folder: &DataFolder, access: Option<&Access>, single: &Single) -> Option<(GatewayAccess, bool)> {
    let noted = access?.noted(single.address()?);
    let is_noted = space::note(folder, &noted);
    Some((noted, is_noted))
}

/// Waits for a signal or a failure of the role. Meanwhile rereads the files of a gateway on request.
async fn work(
    single: &mut Single,
    folder: &DataFolder,
    mut noted: Option<(GatewayAccess, bool)>,
    mut access: Option<&mut Access>,
    (signals, hangups): (&mut Signals, &mut Hangups),
) -> Option<EndedRole> {
    let waiting = single.waiting();
    let mut waits = pin!(async {
        if let Some(waiting) = waiting {
            waiting.done().await;
        }
        std::future::pending::<()>().await;
    });
    loop {
        let space = async {
            match &noted {
                Some((noted, is_noted)) => match space::keep(folder, noted, *is_noted).await {},
                None => std::future::pending::<()>().await,
            }
        };
        tokio::select! {
            ended_role = single.failed() => return Some(ended_role),
            signal = signals.next() => {
                tracing::info!(signal, "shutting down: finishing messages in flight; a second signal forces the shutdown, and unfinished \
                     messages are redelivered");
                return None;
            }
            () = hangups.next() => {}
            () = &mut waits => return None,
            () = space => return None,
        }
        if let Some(access) = access.as_deref_mut() {
            access.reread();
        }
        noted = note(folder, access.as_deref(), single);
    }
}

/// The parameters to start the role with.
fn choose(run: Run, reach: Reach, access: Option<&Access>) -> Result<Chosen<'_>, Problem> {
    match (run, access) {
        (Run::Config(_), _) => Ok(Chosen::Config),
        (Run::Flow(_), _) => Ok(Chosen::Flow),
        (Run::Host(host), _) => {
            let token = match &host.token_file {
                Some(file) => Some(Secret::of_file(file)?),
                None => Secret::of_environment()?,
            };
            let files = host.processors.into_iter().filter_map(|processor| Some((processor.name, processor.file?)));
            let Reach { gateway, ca } = reach;
            Ok(Chosen::Host(HostOptions { name: host.name, gateway, ca, token, files: files.collect() }))
        }
        (Run::Gateway(_), Some(access)) => Ok(Chosen::Gateway(access)),
        (Run::Gateway(_), None) => Err(Problem::new(Exit::Failed, "the gateway has no access settings")),
    }
}

fn embedded(role: &str) -> Problem {
    let what = format!("weir run {role} requires a broker shared by all roles: the embedded broker serves a single process");
    Problem::new(Exit::Settings, what).next(
        "set the broker: --broker amqp://HOST/VHOST or --broker pulsar://HOST, or, if the URL has a password, WEIR_BROKER_URL or `url` in \
             section [broker] of the settings file; or run all roles in one process: weir up",
    )
}

fn problem(EndedRole { role, reason }: &EndedRole, word: &str) -> Problem {
    Problem::new(Exit::Failed, format!("{role} ended unexpectedly, so Weir stopped: {reason}"))
        .next(format!("all confirmed messages are in the broker: restart it with weir run {word}; unsettled messages are redelivered"))
}

fn banner(data: &Path, format: Format, role: &str, url: Option<&str>, settings: &Settings, single: &Single, is_noted: bool) -> String {
    if format == Format::Json {
        return json!({"role": role, "url": url, "pid": std::process::id(), "data": data}).to_string();
    }
    let at = url.map(|url| format!(" at {url}")).unwrap_or_default();
    let mut lines = vec![
        output::bold(&format!("Weir {} is running {}{at}", env!("CARGO_PKG_VERSION"), single.name())),
        format!("  data in {}, process {}; press Ctrl-C to stop", data.display(), std::process::id()),
        format!("  broker {}", shown_url(&settings.broker.url)),
    ];
    lines.extend(single.notices().into_iter().map(|Notice { count, text }| match count {
        Some(count) => format!("  {} {text}", output::number(count)),
        None => format!("  {text}"),
    }));
    lines.extend(url.filter(|_| !is_noted).map(unnoted));
    lines.join("\n")
}
