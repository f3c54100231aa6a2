//! How a command finds a running Weir, and which of its certificates it trusts.

use std::path::PathBuf;

use clap::Args;

/// The gateway that a command connects to.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Reach {
    /// The gateway of a running Weir, http://HOST:PORT or https://HOST:PORT, instead of the one recorded in the data folder
    #[arg(long, global = true, value_name = "URL", env = "WEIR_GATEWAY", help_heading = "Options for every command")]
    pub(crate) gateway: Option<String>,
    /// With an https:// gateway: trust the CA certificates in this PEM file, instead of the system's
    #[arg(long, global = true, value_name = "FILE", env = "WEIR_CA", help_heading = "Options for every command")]
    pub(crate) ca: Option<PathBuf>,
}
