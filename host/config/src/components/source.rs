//! Sources of the bytes of components for hosts.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::ComponentFolder;
use crate::error::Result;
use crate::records::Digest;

/// A source of the bytes of components for a host.
#[async_trait]
pub trait ComponentSource: std::fmt::Debug + Send + Sync {
    /// Makes a component available locally if it is stored remotely: its record gives its size, and no more than that is read. Does nothing if it is
    /// already local or not stored remotely.
    ///
    /// # Errors
    /// `ComponentFolder`, `ComponentNotFetched`.
    ///
    /// # Cancel safety
    /// An incomplete component leaves nothing behind.
    async fn prefetch(&self, _digest: Digest, _size_bytes: u64) -> Result<()> {
        Ok(())
    }

    /// The bytes of a local component, verified against its digest; `None` if it is not local.
    ///
    /// # Errors
    /// `ComponentFolder`, `DamagedComponent`.
    async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>>;

    /// The folder, if it only holds components that can be fetched again.
    fn cache_folder(&self) -> Option<&ComponentFolder> {
        None
    }
}

#[async_trait]
impl ComponentSource for ComponentFolder {
    async fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>> {
        ComponentFolder::get(self, digest).await
    }
}

/// The bytes of a component, in chunks.
pub type ComponentBytes = BoxStream<'static, Result<Bytes, RemoteFault>>;

/// A remote store of components, for hosts.
#[async_trait]
pub trait RemoteComponents: std::fmt::Debug + Send + Sync {
    /// The address, for errors.
    fn address(&self) -> &str;

    /// Starts reading a component.
    ///
    /// # Errors
    /// Why it cannot be read.
    ///
    /// # Cancel safety
    /// Yes.
    async fn open(&self, digest: Digest) -> Result<ComponentBytes, RemoteFault>;
}

/// Why a component cannot be read from a remote store: the problem and the fix, as the end of a sentence that names component and store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RemoteFault(pub String);
