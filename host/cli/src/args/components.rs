//! The words of `weir components`.

use clap::{Args, Subcommand};

/// Arguments of `weir components`.
#[derive(Debug, Args)]
pub(crate) struct Components {
    /// What to do; without it the deployments are listed
    #[command(subcommand)]
    pub(crate) command: Option<ComponentsCommand>,
}

/// What to do with a deployment.
#[derive(Debug, Subcommand)]
pub(crate) enum ComponentsCommand {
    /// Show a deployment with the limits that hold for it, and which of them are from the settings
    Show {
        /// The deployment
        #[arg(value_name = "NAME@VERSION")]
        component: String,
    },
}
