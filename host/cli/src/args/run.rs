//! `weir run ROLE`: one role of a Weir that runs in several processes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::flow::check_processor;
use super::settings::{RoleFlags, SettingFlags};

pub(super) const HELP: &str = "\
All roles share one broker, set by --broker, WEIR_BROKER_URL or the settings file, and each has its own data folder. They can be started in \
any order: each waits for the services it depends on. `weir status` and `weir doctor` show what is missing.";

/// `weir run ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// Run the config service, which stores the configuration in its data folder. There must be exactly one
    Config(RoleFlags),
    /// Run the flow service, which starts and stops flows. A second one stands by
    Flow(RoleFlags),
    /// Run a host of processors. Any number of hosts share the queues
    Host(RunHost),
    /// Run a gateway, the HTTP interface. `weir status` and all other commands connect to it
    Gateway(RunGateway),
}

/// Arguments of `weir run gateway`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunGateway {
    #[command(flatten)]
    pub(crate) flags: SettingFlags,
}

/// Arguments of `weir run host`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunHost {
    #[command(flatten)]
    pub(crate) flags: RoleFlags,
    /// Serve only this processor, and ignore all others in the configuration. NAME: its entries without a component run the newest
    /// deployment of that name. NAME=FILE: they run the component in the file. May be repeated [default: every entry that names a component]
    #[arg(long = "processor", value_name = "NAME[=FILE]", value_parser = parse_served)]
    pub(crate) processors: Vec<ServedProcessor>,
    /// The name of the host in `weir status`, at most 64 characters [default: the machine's name and the process id]
    #[arg(long, value_name = "NAME", value_parser = parse_host_name)]
    pub(crate) name: Option<String>,
    /// A file with the token that the host sends to the gateway of --gateway; otherwise the environment variable WEIR_TOKEN
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// A processor that a host serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServedProcessor {
    /// Its name.
    pub(crate) name: String,
    /// The component for its entries without one; `None`: the newest deployment of the name.
    pub(crate) file: Option<PathBuf>,
}

pub(super) fn parse_served(text: &str) -> Result<ServedProcessor, String> {
    let (name, file) = text.split_once('=').map_or((text, None), |(name, file)| (name, Some(file)));
    check_processor(name)?;
    match file {
        Some("") => Err(format!("the file is missing: give {name}=FILE.wasm, or only the name")),
        file => Ok(ServedProcessor { name: name.to_owned(), file: file.map(PathBuf::from) }),
    }
}

/// Maximum length of a host's name, in characters.
const MAX_HOST_NAME_LENGTH: usize = 64;

fn parse_host_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    match text {
        _ if text.trim().is_empty() => Err("the name is empty".to_owned()),
        _ if text.contains(char::is_control) => Err("the name contains a control character".to_owned()),
        _ if length > MAX_HOST_NAME_LENGTH => Err(format!("the name has {length} characters, at most {MAX_HOST_NAME_LENGTH} are allowed")),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn processors_of_hosts_are_names_with_or_without_a_file() {
        assert_eq!(parse_served("a"), Ok(ServedProcessor { name: "a".to_owned(), file: None }));
        assert_eq!(parse_served("a=b=c.wasm").unwrap().file, Some("b=c.wasm".into()));
        for wrong in ["", "=b.wasm", "a=", "a:b=c.wasm"] {
            assert!(parse_served(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn host_names_are_printable() {
        assert_eq!(parse_host_name("rack 3"), Ok("rack 3".to_owned()));
        for wrong in ["", " ", "a\nb", &"x".repeat(65)] {
            assert!(parse_host_name(wrong).is_err(), "{wrong}");
        }
    }
}
