//! Components stored elsewhere: fetched by digest when first needed, verified during the transfer, and used from a folder of the host.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use weir_config::records::Digest;
use weir_config::{ComponentFolder, ComponentSource, ConfigError, RemoteComponents, RemoteFault};

/// The time-out for the store to begin its answer, and for each further piece.
const PAUSE_TIME: Duration = Duration::from_secs(30);
/// Components fetched at a time: a large one does not delay another.
const FETCHES_COUNT: usize = 2;

/// The source of a host that has no store of its own. No error here is permanent: the store may be repaired.
#[derive(Debug)]
pub struct FetchedComponents<R> {
    folder: ComponentFolder,
    remote: R,
    max_component_bytes: u64,
    turns: Semaphore,
}

impl<R: RemoteComponents> FetchedComponents<R> {
    /// Keeps fetched components in a folder of the host. Larger components are refused, whatever their records state.
    pub fn new(folder: ComponentFolder, remote: R, max_component_bytes: u64) -> Self {
        FetchedComponents { folder, remote, max_component_bytes, turns: Semaphore::new(FETCHES_COUNT) }
    }

    async fn fetch(&self, digest: Digest, most_bytes: u64) -> Result<(), ConfigError> {
        let silent = |_| self.not_fetched(digest, format!("no data arrived for {} s", PAUSE_TIME.as_secs()));
        let failed = |fault: RemoteFault| self.not_fetched(digest, fault.to_string());
        let mut pieces = timeout(PAUSE_TIME, self.remote.open(digest)).await.map_err(silent)?.map_err(failed)?;
        let mut incoming = self.folder.receive(digest, most_bytes).await?;
        while let Some(piece) = timeout(PAUSE_TIME, pieces.next()).await.map_err(silent)? {
            incoming.write(piece.map_err(failed)?).await?;
        }
        let size_bytes = incoming.written_bytes();
        incoming.finish().await?;
        tracing::info!(%digest, size_bytes, from = self.remote.address(), "component fetched");
        Ok(())
    }

    fn not_fetched(&self, digest: Digest, problem: String) -> ConfigError {
        ConfigError::ComponentNotFetched { digest, place: self.remote.address().to_owned(), problem }
    }
}

#[async_trait]
impl<R: RemoteComponents> ComponentSource for FetchedComponents<R> {
    async fn prefetch(&self, digest: Digest, size_bytes: u64) -> Result<(), ConfigError> {
        if self.folder.has(digest) {
            return Ok(());
        }
        let most_bytes = self.max_component_bytes;
        if size_bytes > most_bytes {
            let problem = format!("it has {size_bytes} bytes, and this host accepts at most {most_bytes}: raise gateway.max-component");
            return Err(self.not_fetched(digest, problem));
        }
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
        self.fetch(digest, size_bytes).await.map_err(|error| match error {
            ConfigError::WrongComponent { digest, came } => {
                let problem = format!(
                    "it sent different bytes: {came}; check which server answers at that address, and deploy the \
                     component again"
                );
                self.not_fetched(digest, problem)
            }
            error => error,
        })
    }

    async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>, ConfigError> {
        let got = self.folder.get(digest).await;
        if let Err(ConfigError::DamagedComponent { path }) = &got {
            tracing::warn!(%digest, path = %path.display(), "cached component damaged, fetching it again");
            self.folder.remove(digest).await?;
            return Err(self.not_fetched(digest, "the copy in the host's folder was damaged and is fetched again".to_owned()));
        }
        got
    }

    fn cache_folder(&self) -> Option<&ComponentFolder> {
        Some(&self.folder)
    }
}

/// The source of a host without any store: the components given at its start.
#[derive(Debug)]
pub struct LocalComponents(ComponentFolder);

impl LocalComponents {
    /// The components in a folder.
    pub fn new(folder: ComponentFolder) -> Self {
        LocalComponents(folder)
    }
}

#[async_trait]
impl ComponentSource for LocalComponents {
    async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>, ConfigError> {
        match self.0.get(digest).await? {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(ConfigError::ComponentNotFetched {
                digest,
                place: "a gateway".to_owned(),
                problem: "this host has none: start it with --gateway URL, or with --processor NAME=FILE for this file".to_owned(),
            }),
        }
    }
}
