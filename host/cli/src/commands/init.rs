//! `weir init`: a data folder with a settings file that explains every setting; and the exchange on a broker elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use weir_config::names::CONFIG_SERVICE;
use weir_pubsub::{Notice, QueueSpec, connect, is_embedded, shown_url};

use super::tell;
use crate::advice::{PERMIT_LINE, policies};
use crate::args::{Init, SettingFlags};
use crate::client::data_option;
use crate::folder;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::roles::{make_exchange, not_connected, refused};
use crate::settings::{self, FILE_NAME, Settings, template};

/// How long a broker may take to answer.
const BROKER_TIME: Duration = Duration::from_secs(10);
/// The variable of the setting `broker.url`.
const BROKER_VARIABLE: &str = "WEIR_BROKER_URL";

/// Makes the folder and the file; a file that is there is left as it is. Where the settings name a broker elsewhere, prepares that.
pub(crate) async fn run(data: &Path, format: Format, command: &Init) -> Result<()> {
    let flags = SettingFlags { broker: command.broker.clone(), ..SettingFlags::default() };
    let is_asked = flags.broker.is_some() || std::env::var_os(BROKER_VARIABLE).is_some();
    // A settings file that is wrong is another command's matter, unless it is needed here.
    let loaded = if is_asked { settings::load(data, &flags)? } else { settings::load(data, &flags).unwrap_or_default() };
    if is_embedded(&loaded.settings.broker.url) {
        let path = make_file(data)?;
        return match format {
            Format::Json => output::json(&json!({"data": data, "settings": path})).map_err(Into::into),
            Format::Text => {
                output::line(&format!("{} is written; every default is in it, commented out", path.display()))?;
                let show = format!("  change what you like, look with `weir settings show{0}`, then start: weir up{0}", data_option(data));
                output::line(&show).map_err(Into::into)
            }
        };
    }
    if let Some(warning) = settings::exposed_password(&loaded) {
        tell(&warning);
    }
    // Preparing the broker may be repeated, and the file may be the one that names it.
    if !data.join(FILE_NAME).exists() {
        make_file(data)?;
    }
    let notices = tokio::time::timeout(BROKER_TIME, prepare(&loaded.settings)).await.unwrap_or_else(|_| {
        let what = format!("the broker {} cannot be reached", shown_url(&loaded.settings.broker.url));
        Err(Problem::new(Exit::Unavailable, what).next("start it, or correct broker.url; then run this again").into())
    })?;
    report(data, format, &loaded.settings, &notices)
}

/// Makes the exchange and the queue of requests to the config service, by which the broker shows whether it permits such queues.
async fn prepare(settings: &Settings) -> Result<Vec<Notice>> {
    let backend = connect(&settings.broker).await.map_err(|error| not_connected(settings, error))?;
    make_exchange(&*backend, settings).await?;
    let queue = CONFIG_SERVICE.requests(&settings.topicspace)?;
    backend.ensure_queue(&QueueSpec::new(queue)).await.map_err(|error| refused(settings, error))?;
    let notices = backend.notices();
    backend.close().await;
    Ok(notices)
}

fn report(data: &Path, format: Format, settings: &Settings, notices: &[Notice]) -> Result<()> {
    let (url, exchange) = (shown_url(&settings.broker.url), &settings.topicspace);
    let policies = policies(settings);
    if format == Format::Json {
        let commands: Vec<_> = policies.iter().map(|(command, why)| json!({"command": command, "why": why})).collect();
        let notices: Vec<&str> = notices.iter().map(|notice| notice.text.as_str()).collect();
        let settings = data.join(FILE_NAME);
        output::json(
            &json!({"data": data, "settings": settings, "broker": url, "exchange": exchange, "notices": notices, "policies": commands}),
        )?;
        return Ok(());
    }
    let mut lines = vec![format!("exchange `{exchange}` is on the broker {url}")];
    for notice in notices {
        lines.push(format!("  {}; if services of TrustGraph itself use this broker, set `{PERMIT_LINE}` on all nodes", notice.text));
    }
    lines.push("\nRun on a machine of the broker, which Weir cannot do over AMQP (RabbitMQ 4):".to_owned());
    lines.extend(policies.iter().map(|(command, why)| format!("  {command}\n    {why}")));
    lines.push(format!(
        "\nThen set WEIR_BROKER_URL, or `url` in section [broker] of {}, and start: weir up{}",
        data.join(FILE_NAME).display(),
        data_option(data)
    ));
    output::line(&lines.join("\n"))?;
    Ok(())
}

/// Makes the folder and the file; its path.
fn make_file(data: &Path) -> Result<PathBuf> {
    let unusable = |error: std::io::Error| {
        Problem::new(Exit::NoFolder, format!("the data folder {} cannot be made", data.display()))
            .because(error)
            .next("choose a folder that you may write to: weir init --data DIR")
    };
    folder::make_private(data).map_err(unusable)?;
    let path = data.join(FILE_NAME);
    // What is there is never written over, not even by two at a time.
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => write(&mut file, &path).map_err(|error| {
            // Half a file would pass for one that somebody wrote.
            let _ = std::fs::remove_file(&path);
            unusable(error)
        })?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Problem::new(Exit::Failed, format!("{} is there already and was left as it is", path.display()))
                .next(format!("change it, or move it away and run this again; weir settings show{} tells what counts", data_option(data)))
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
