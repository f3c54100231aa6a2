//! `weir init`: creates a data folder with a settings file that explains every setting, and prepares an external broker.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use weir_config::names::CONFIG_SERVICE;
use weir_pubsub::{Notice, Policy, PolicyState, Provision, QueueSpec, shown_url};

use super::print_note;
use crate::args::{Init, RoleFlags};
use crate::client::data_option;
use crate::folder;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::roles::{make_exchange, reach_within, refused};
use crate::settings::{self, FILE_NAME, Settings, template};

/// How long a broker may take to answer, and to accept a connection.
const BROKER_TIME: Duration = Duration::from_secs(12);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for all requests to its management API.
const MANAGEMENT_TIME: Duration = Duration::from_secs(60);
/// The environment variable of the setting `broker.url`.
const BROKER_VARIABLE: &str = "WEIR_BROKER_URL";

/// Creates the folder and the file; an existing file is not changed. If the settings name an external broker, prepares that.
pub(crate) async fn run(data: &Path, format: Format, command: &Init) -> Result<()> {
    let Init { broker, settings } = command.clone();
    let is_asked = broker.is_any() || settings.is_some() || std::env::var_os(BROKER_VARIABLE).is_some();
    let flags = RoleFlags { broker, settings, ..RoleFlags::default() }.into();
    // An invalid settings file is reported by other commands, unless it is needed here.
    let loaded = if is_asked { settings::load(data, &flags)? } else { settings::load(data, &flags).unwrap_or_default() };
    if !loaded.settings.broker.kind().is_shared {
        let path = make_file(data)?;
        return match format {
            Format::Json => output::json(&json!({"data": data, "settings": path})).map_err(Into::into),
            Format::Text => {
                output::line(&format!("{} written; it contains every default, commented out", path.display()))?;
                let show = format!("  edit it, check it with `weir settings show{0}`, then start: weir up{0}", data_option(data));
                output::line(&show).map_err(Into::into)
            }
        };
    }
    if let Some(warning) = settings::exposed_password(&loaded) {
        print_note(&warning);
    }
    // Preparing the broker can be repeated, and the existing file may name the broker.
    if !data.join(FILE_NAME).exists() {
        make_file(data)?;
    }
    let prepared = prepare(&loaded.settings).await?;
    report(data, format, &loaded.settings, &prepared, command.settings.as_deref())?;
    match prepared.refused {
        None => Ok(()),
        Some(problem) => Err(problem.into()),
    }
}

/// The state of the broker now.
struct Prepared {
    notices: Vec<Notice>,
    policies: Vec<Policy>,
    /// Why the broker cannot be used, if the reason may be missing manual configuration.
    refused: Option<Problem>,
}

async fn prepare(settings: &Settings) -> Result<Prepared> {
    let silent = |what: String, next: &str| Problem::new(Exit::Unavailable, what).next(format!("{next}; then run this again"));
    // Creates the exchange, if the broker has exchanges. The config service's request queue is created after the policies: it shows whether the
    // broker permits such queues.
    let reached = tokio::time::timeout(BROKER_TIME, reach_within(settings, CONNECT_TIMEOUT)).await;
    let backend = reached.map_err(|_| {
        let what = format!("the broker {} cannot be reached", shown_url(&settings.broker.url));
        silent(what, "start it, or correct broker.url")
    })??;
    let set = tokio::time::timeout(MANAGEMENT_TIME, backend.policies(&settings.topicspace, Provision::Set)).await;
    let set = set.map_err(|_| silent("the management API of the broker does not answer".to_owned(), "check the broker's log"))?;
    let policies = set.map_err(|error| {
        Problem::new(Exit::Settings, "the broker can be reached, but its policies cannot be set")
            .because(error)
            .next(settings.broker.kind().policies_fix)
    })?;
    // If tenant and namespaces are new, this is the first step that shows whether broker and admin API belong together.
    make_exchange(&*backend, settings).await?;
    let queue = CONFIG_SERVICE.requests(&settings.topicspace)?;
    let refused = match backend.ensure_queue(&QueueSpec::new(queue)).await {
        Ok(()) => None,
        Err(error) if policies.iter().any(is_by_hand) => Some(refused(settings, error)),
        Err(error) => return Err(refused(settings, error).into()),
    };
    let notices = backend.notices();
    backend.close().await;
    Ok(Prepared { notices, policies, refused })
}

fn report(data: &Path, format: Format, settings: &Settings, prepared: &Prepared, file: Option<&Path>) -> Result<()> {
    let (url, exchange) = (shown_url(&settings.broker.url), &settings.topicspace);
    if format == Format::Json {
        let policies: Vec<_> = prepared.policies.iter().map(policy_json).collect();
        let notices: Vec<&str> = prepared.notices.iter().map(|notice| notice.text.as_str()).collect();
        let settings = data.join(FILE_NAME);
        output::json(
            &json!({"data": data, "settings": settings, "broker": url, "exchange": exchange, "notices": notices, "policies": policies}),
        )?;
        return Ok(());
    }
    let kind = settings.broker.kind();
    let is_whole = prepared.refused.is_none();
    let mut lines = vec![format!("{} `{exchange}` is {}on the broker {url}", kind.space, if is_whole { "" } else { "not ready " })];
    let next = kind.request_queues.as_ref().map(|known| format!("; {}", known.otherwise)).unwrap_or_default();
    lines.extend(prepared.notices.iter().map(|notice| format!("  {}{next}", notice.text)));
    lines.extend(prepared.policies.iter().filter_map(known_policy));
    let by_hand: Vec<&Policy> = prepared.policies.iter().filter(|policy| is_by_hand(policy)).collect();
    if !by_hand.is_empty() {
        lines.push(format!("\n{}", kind.by_hand));
        lines.extend(by_hand.iter().map(|policy| format!("  {}\n    {}", policy.command, policy.reason)));
    }
    let data_option = data_option(data);
    lines.push(match file {
        Some(file) => format!("\nStart: weir up --settings {}{data_option}", file.display()),
        None => format!(
            "\nUnless already done, set {} in section [broker] of {}; then start: weir up{data_option}",
            kind.variables,
            data.join(FILE_NAME).display(),
        ),
    });
    output::line(&lines.join("\n"))?;
    Ok(())
}

fn is_by_hand(policy: &Policy) -> bool {
    !matches!(policy.state, PolicyState::Set | PolicyState::NotNeeded(_))
}

/// A line about a policy whose existence the broker reports.
fn known_policy(policy: &Policy) -> Option<String> {
    let Policy { name, .. } = policy;
    match &policy.state {
        PolicyState::Unknown { .. } => None,
        PolicyState::Set if policy.is_new => Some(format!("{name}: now set")),
        PolicyState::Set => Some(format!("{name}: already set")),
        PolicyState::NotNeeded(why) => Some(format!("{name}: not needed: {why}")),
        PolicyState::Missing(what) => Some(format!("{name}: not set: {what}")),
        PolicyState::Limited(what) | PolicyState::Blocking(what) => Some(format!("{name}: check failed: {what}")),
    }
}

fn policy_json(policy: &Policy) -> serde_json::Value {
    let (state, detail) = match &policy.state {
        PolicyState::Unknown { .. } => ("unknown", None),
        PolicyState::Set => ("set", None),
        PolicyState::NotNeeded(why) => ("not-needed", Some(why)),
        PolicyState::Missing(what) => ("missing", Some(what)),
        PolicyState::Limited(what) => ("limited", Some(what)),
        PolicyState::Blocking(what) => ("blocking", Some(what)),
    };
    json!({"name": policy.name, "command": policy.command, "why": policy.reason, "state": state, "detail": detail, "new": policy.is_new})
}

/// Creates the folder and the file, and returns its path.
fn make_file(data: &Path) -> Result<PathBuf> {
    let unusable = |error: std::io::Error| {
        Problem::new(Exit::NoFolder, format!("the data folder {} cannot be created", data.display()))
            .because(error)
            .next("choose a folder that you may write to: weir init --data DIR")
    };
    folder::make_private(data).map_err(unusable)?;
    let path = data.join(FILE_NAME);
    // Never overwrites an existing file, even if two processes do this at the same time.
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => write(&mut file, &path).map_err(|error| {
            // A partial file would look like one that a user wrote.
            let _ = std::fs::remove_file(&path);
            unusable(error)
        })?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Problem::new(Exit::Failed, format!("{} already exists and was not changed", path.display()))
                .next(format!(
                    "edit it, or move it away and run this again; weir settings show{} lists the effective values",
                    data_option(data)
                ))
                .into());
        }
        Err(error) => return Err(unusable(error).into()),
    }
    Ok(path)
}

fn write(file: &mut File, path: &Path) -> std::io::Result<()> {
    file.write_all(template().as_bytes())?;
    file.sync_all()?;
    folder::sync_folder_of(path)
}
