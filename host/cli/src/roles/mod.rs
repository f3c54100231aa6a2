//! The roles of a Weir process: each in its own file, started and stopped separately or all together.

mod access;
mod all;
mod broker;
mod component_check;
mod component_file;
mod components;
mod config;
mod deploying;
mod flow;
mod gateway;
mod host;
mod host_options;
mod single;
mod standby;
mod waiting;

use std::sync::Arc;

use weir_config::{ComponentFolder, ConfigClient};
use weir_pubsub::Backend;

use crate::folder::DataFolder;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;

pub(crate) use self::access::{Access, RENEWAL_TIME, check as check_access, identity};
pub(crate) use self::all::{Prerequisites, Roles};
pub(crate) use self::broker::{make_exchange, reach_within, refused, try_message};
pub(crate) use self::host_options::HostOptions;
pub(crate) use self::single::{Chosen, Single};

/// The context to start a role in.
struct Context<'a> {
    folder: &'a DataFolder,
    settings: &'a Settings,
    backend: Arc<dyn Backend>,
    /// The store of component bytes.
    components: ComponentFolder,
}

impl Context<'_> {
    fn topicspace(&self) -> &str {
        &self.settings.topicspace
    }

    /// A client of the config service.
    async fn config_client(&self) -> anyhow::Result<ConfigClient> {
        use anyhow::Context;
        ConfigClient::connect(self.backend.clone(), self.topicspace()).await.context("the config service cannot be reached")
    }
}

fn unusable(folder: &DataFolder, error: impl std::error::Error + Send + Sync + 'static) -> Problem {
    Problem::new(Exit::NoFolder, format!("the data in {} cannot be opened", folder.path().display()))
        .because(error)
        .next("nothing was changed; see docs/operating.md, or start on another folder: weir up --data DIR")
}
