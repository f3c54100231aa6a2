//! The words of `weir components` and `weir prune`.

use clap::{Args, Subcommand};

/// What `weir help prune` adds.
pub(super) const PRUNE_HELP: &str = "\
Removed are the bytes of components that no deployment, entry or flow names (see weir components remove), compiled code of such components \
or of another version of Weir's engine, and what interrupted writes left. A running Weir does this itself; without one the data folder \
is locked meanwhile. Compiled code that is needed again is made again.";

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
    /// Remove a deployment that no entry names; `weir prune` then removes its bytes
    Remove {
        /// The deployment
        #[arg(value_name = "NAME@VERSION")]
        component: String,
    },
}

/// Arguments of `weir prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// List what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
