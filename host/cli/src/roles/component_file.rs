//! A component in a file given on the command line: `--processor NAME=FILE`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_config::ConfigError;
use weir_config::records::{ComponentRecord, ComponentRef, GivenLimits};
use weir_gateway::ComponentCheck;
use weir_runtime::GivenComponent;

use super::Context;
use super::component_check::{LazyChecker, inspect_with};
use crate::input::read_input;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;

/// A component file that was read and checked, and whose bytes are in the folder of components.
#[derive(Clone, Debug)]
pub(super) struct ComponentFile {
    pub(super) processor: String,
    pub(super) file: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) record: ComponentRecord,
}

impl ComponentFile {
    /// Reads files and checks that this host can run them.
    pub(super) async fn read_all(context: &Context<'_>, files: &BTreeMap<String, PathBuf>) -> Result<Vec<Self>, Problem> {
        let inspect = inspect_with(context.settings, LazyChecker::new(context.settings.instance_slots_count()));
        let mut read = Vec::with_capacity(files.len());
        for (processor, file) in files {
            let component = Self::read(processor, file, context.settings, &inspect).await?;
            context.components.put(&component.bytes).await.map_err(unusable)?;
            read.push(component);
        }
        Ok(read)
    }

    async fn read(processor: &str, file: &Path, settings: &Settings, inspect: &ComponentCheck) -> Result<Self, Problem> {
        let bytes = read_input(file)?;
        let most_bytes = settings.gateway.max_component_bytes;
        let refused = |why: String| {
            let what = format!("{} cannot be run as processor {processor}: {why}", file.display());
            Problem::new(Exit::BadInput, what).next(format!("weir inspect {} shows what the file is", file.display()))
        };
        if bytes.len() > most_bytes {
            return Err(refused(format!("it has {} bytes, at most {most_bytes} are accepted (gateway.max-component)", bytes.len())));
        }
        let inspect = inspect.clone();
        let checked = tokio::task::spawn_blocking(move || inspect(&bytes, &GivenLimits::default()).map(|record| (bytes, record))).await;
        let (bytes, record) = checked.map_err(|_| refused("its check was aborted".to_owned()))?.map_err(refused)?;
        Ok(ComponentFile { processor: processor.to_owned(), file: file.to_owned(), bytes, record })
    }

    /// The versions under which it may be deployed: its own, if any, and one that is unique to the file.
    pub(super) fn versions(&self) -> Vec<String> {
        let own = self.record.descriptor.version.clone();
        own.into_iter().chain([format!("0.0.0-d{}", self.record.digest.short())]).collect()
    }

    /// The component for a host, under a version.
    pub(super) fn given(&self, version: &str) -> GivenComponent {
        let component = ComponentRef { name: self.processor.clone(), version: version.to_owned(), digest: self.record.digest };
        GivenComponent { component, record: Arc::new(self.record.clone()) }
    }

    /// The same if no gateway is available to check what is deployed.
    pub(super) fn given_by_itself(&self) -> GivenComponent {
        self.given(&self.versions()[0])
    }
}

/// The folder of components cannot be used.
pub(super) fn unusable(error: ConfigError) -> Problem {
    Problem::new(Exit::NoFolder, "components cannot be stored in the data folder").because(error)
}
