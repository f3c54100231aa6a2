//! Arguments of `weir components` and `weir prune`.

use clap::{Args, Subcommand};

/// The additional help of `weir help prune`.
pub(super) const PRUNE_HELP: &str = "\
Removes component files that no deployment, entry or flow refers to (see weir components remove), compiled code of such components or of \
another version of Weir's engine, and leftovers of interrupted writes. A running Weir does the work itself; without one, the data folder is \
locked meanwhile. Compiled code that is needed later is compiled again.";

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
    /// Show a deployment with its effective limits, and which of them come from the settings
    Show {
        /// The deployment
        #[arg(value_name = "NAME@VERSION")]
        component: String,
    },
    /// Remove a deployment that no entry refers to; `weir prune` then removes its file
    Remove {
        /// The deployment
        #[arg(value_name = "NAME@VERSION")]
        component: String,
    },
}

/// Arguments of `weir prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// List what would be removed, without removing it
    #[arg(long)]
    pub(crate) dry_run: bool,
}
