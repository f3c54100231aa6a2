//! Where a host gets its components from: the store in this process, a gateway, or files given on its command line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weir_config::records::Digest;
use weir_config::{ComponentSource, ConfigClient, remove_unused};
use weir_gateway::{RemoteGateway, TokenReach, Trust};
use weir_pubsub::chain;
use weir_runtime::{FetchedComponents, GivenComponent, LocalComponents};

use super::Context;
use super::component_file::{ComponentFile, unusable};
use super::deploying::{Undeployed, deploy, record};
use super::host_options::HostOptions;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;
use crate::token::Secret;

/// How long start-up waits for the gateway to deploy a file; after that, the host starts without waiting for it.
const DEPLOY_TIME: Duration = Duration::from_secs(10);

/// The components for a host.
pub(super) struct HostComponents {
    /// The source of components by digest.
    pub(super) source: Arc<dyn ComponentSource>,
    /// The components for entries without one, by processor.
    pub(super) given: BTreeMap<String, GivenComponent>,
    /// Maximum size of its cache on disk; `None` if `weir prune` manages it.
    pub(super) cache_bytes: Option<u64>,
    /// Files still to be deployed, and the gateways to deploy them to.
    pub(super) to_deploy: Vec<(RemoteGateway, ComponentFile)>,
}

/// For a host in the same process as the store of components. Files are recorded as deployed.
pub(super) async fn of_store(context: &Context<'_>, config: &ConfigClient) -> Result<HostComponents, Problem> {
    let mut given = BTreeMap::new();
    for file in ComponentFile::read_all(context, &context.settings.processor_files).await? {
        given.insert(file.processor.clone(), record(config, &file).await?);
    }
    Ok(HostComponents { source: Arc::new(context.components.clone()), given, cache_bytes: None, to_deploy: Vec::new() })
}

/// For a separate host, which has a gateway or only files.
pub(super) async fn of_host(context: &Context<'_>, options: &HostOptions) -> Result<HostComponents, Problem> {
    let Some(url) = &options.gateway else { return of_files(context, &options.files).await };
    let gateway = remote(url, options.token.as_ref(), options.ca.as_deref())?;
    of_gateway(context, gateway, &options.files).await
}

/// For a host that fetches components from a gateway, to which files are deployed.
pub(super) async fn of_gateway(
    context: &Context<'_>,
    gateway: RemoteGateway,
    files: &BTreeMap<String, PathBuf>,
) -> Result<HostComponents, Problem> {
    let (mut given, mut to_deploy) = (BTreeMap::new(), Vec::new());
    for file in ComponentFile::read_all(context, files).await? {
        let deployed = tokio::time::timeout(DEPLOY_TIME, deploy(&gateway, &file)).await;
        let component = match deployed.unwrap_or_else(|_| Err(Undeployed::NotYet("no answer in time".to_owned()))) {
            Ok(component) => component,
            Err(Undeployed::Refused(problem)) => return Err(problem),
            Err(Undeployed::Away(error) | Undeployed::NotYet(error)) => {
                let place = gateway.url();
                tracing::warn!(file = %file.file.display(), gateway = place, error, "component not deployed yet, running it on this host \
                     only");
                to_deploy.push((gateway.clone(), file.clone()));
                file.given_by_itself()
            }
        };
        given.insert(file.processor, component);
    }
    let settings = context.settings;
    let most_bytes = settings.gateway.max_component_bytes as u64;
    let source = Arc::new(FetchedComponents::new(context.components.clone(), gateway, most_bytes));
    Ok(HostComponents { source, given, cache_bytes: Some(settings.cache_bytes), to_deploy })
}

/// For a host that has only files. Components given earlier are removed.
async fn of_files(context: &Context<'_>, files: &BTreeMap<String, PathBuf>) -> Result<HostComponents, Problem> {
    let settings = context.settings;
    if files.is_empty() || settings.processors.iter().any(|name| !files.contains_key(name)) {
        let what = "a host without a gateway can run only components from files";
        let next = "give a gateway that stores the components: --gateway URL; or a file for each processor: --processor NAME=FILE";
        return Err(Problem::new(Exit::Usage, what).next(next));
    }
    let read = ComponentFile::read_all(context, files).await?;
    let given: BTreeMap<_, _> = read.into_iter().map(|file| (file.processor.clone(), file.given_by_itself())).collect();
    let named: BTreeSet<Digest> = given.values().map(|given| given.component.digest).collect();
    let unused = context.components.unused(&named).await.map_err(unusable)?;
    for (path, error) in remove_unused(&unused) {
        tracing::warn!(path = %path.display(), error = %chain(&error), "component of an earlier start cannot be removed");
    }
    let source = Arc::new(LocalComponents::new(context.components.clone()));
    Ok(HostComponents { source, given, cache_bytes: Some(settings.cache_bytes), to_deploy: Vec::new() })
}

/// The gateway that stores the components instead of this process, if any.
pub(super) fn store_elsewhere(settings: &Settings) -> Result<Option<RemoteGateway>, Problem> {
    let Some(url) = &settings.components_from else { return Ok(None) };
    let token = settings.components_token_file.as_deref().map(Secret::of_file).transpose()?;
    remote(url, token.as_ref(), settings.components_ca_file.as_deref()).map(Some)
}

fn remote(url: &str, token: Option<&Secret>, ca: Option<&Path>) -> Result<RemoteGateway, Problem> {
    let trust = ca.map_or(Trust::System, |file| Trust::Authorities(file.to_owned()));
    RemoteGateway::new(url, &trust, token.map(Secret::text), TokenReach::Encrypted)
        .map_err(|error| Problem::new(Exit::Usage, format!("the gateway {url} cannot be used")).because(error))
}
