//! Reads a component in chunks, so that memory use does not depend on its size.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use sha2::{Digest as _, Sha256};

use super::files::blocking;
use crate::error::{ConfigError, Result};
use crate::records::Digest;

const PIECE_BYTES: usize = 64 << 10;

/// The file of a component, verified against its digest.
#[derive(Debug)]
pub struct StoredComponent {
    file: File,
    size_bytes: u64,
}

impl StoredComponent {
    /// Opens a file and reads it once, to verify it.
    pub(super) fn open(digest: Digest, path: PathBuf) -> Result<Option<Self>> {
        let failed = |source| ConfigError::ComponentFolder { doing: "read", path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let (mut hasher, mut size_bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
        loop {
            match file.read(&mut piece).map_err(failed)? {
                0 => break,
                count => {
                    hasher.update(&piece[..count]);
                    size_bytes += count as u64;
                }
            }
        }
        if Digest::from_sha256(hasher.finalize().into()) != digest {
            return Err(ConfigError::DamagedComponent { path });
        }
        file.rewind().map_err(failed)?;
        Ok(Some(StoredComponent { file, size_bytes }))
    }

    /// Its size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Its bytes, with one chunk in memory at a time.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::try_unfold(self.file, |mut file| async move {
            blocking(move || {
                let mut piece = vec![0; PIECE_BYTES];
                let count = file.read(&mut piece)?;
                piece.truncate(count);
                Ok((count > 0).then(|| (Bytes::from(piece), file)))
            })
            .await
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::TryStreamExt;

    use super::super::ComponentFolder;
    use super::*;

    #[tokio::test]
    async fn a_verified_component_is_read_in_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let components = ComponentFolder::new(folder.path());
        let bytes = vec![7; PIECE_BYTES + 5];
        let digest = components.put(&bytes).await.unwrap();
        let stored = components.open(digest).await.unwrap().unwrap();
        assert_eq!(stored.size_bytes(), bytes.len() as u64);
        let pieces: Vec<Bytes> = stored.into_stream().try_collect().await.unwrap();
        assert_eq!((pieces.len(), pieces.concat()), (2, bytes));
        std::fs::write(components.path(digest), b"other").unwrap();
        assert!(matches!(components.open(digest).await, Err(ConfigError::DamagedComponent { .. })));
        components.remove(digest).await.unwrap();
        assert!(components.open(digest).await.unwrap().is_none());
    }
}
