//! Settings on the command line.

use std::path::PathBuf;

use clap::Args;

use super::access::AccessFlags;
use super::broker::BrokerFlags;

/// Settings that are given on the command line. They are read with all others, so that all errors are reported together.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingFlags {
    #[command(flatten)]
    pub(crate) of_roles: RoleFlags,
    #[command(flatten)]
    pub(crate) access: AccessFlags,
    /// Store no components here; forward uploads and fetches to the gateway at this URL [env: WEIR_GATEWAY_COMPONENTS_FROM]
    #[arg(long, value_name = "URL")]
    pub(crate) components_from: Option<String>,
}

impl SettingFlags {
    /// The given settings: flag, name and value of each.
    pub(crate) fn given(&self) -> Vec<(String, &str, &str)> {
        let own = self.of_roles.own().map(|(flag, name, value)| (flag, name, value.as_deref()));
        let store = ("--components-from", "gateway.components-from", self.components_from.as_deref());
        let own = self.access.given().chain([store]).chain(own).filter_map(|(flag, name, value)| Some((flag.to_owned(), name, value?)));
        let any = self.of_roles.set.iter().map(|text| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            ("--set".to_owned(), name, value)
        });
        // `--set` comes last, so it takes precedence.
        own.chain(any).collect()
    }
}

impl From<RoleFlags> for SettingFlags {
    fn from(of_roles: RoleFlags) -> Self {
        SettingFlags { of_roles, ..SettingFlags::default() }
    }
}

/// Settings of every role that are given on the command line.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RoleFlags {
    /// The settings file, instead of settings.toml in the data folder
    #[arg(long, value_name = "FILE", env = "WEIR_SETTINGS")]
    pub(crate) settings: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) broker: BrokerFlags,
    /// How long to finish messages in flight on shutdown, for example 10s, 500ms or 2m [env: WEIR_GRACE] [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub(crate) grace: Option<String>,
    /// Whether to start on a data folder that all users of the machine can write to: refuse or allow [env: WEIR_SHARED_DATA_FOLDER]
    /// [default: refuse]
    #[arg(long, value_name = "WORD")]
    pub(crate) shared_data_folder: Option<String>,
    /// How log lines are written: text or json [env: WEIR_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Override any setting, for example --set broker.queue-limit=2GiB; weir settings show lists them. May be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

impl RoleFlags {
    /// For each flag except `--set`: its name, the setting's name, and the value if given.
    fn own(&self) -> impl Iterator<Item = (&'static str, &'static str, &Option<String>)> {
        [
            ("--grace", "grace", &self.grace),
            ("--shared-data-folder", "shared-data-folder", &self.shared_data_folder),
            ("--log-format", "log.format", &self.log_format),
        ]
        .into_iter()
        .chain(self.broker.given())
    }
}
