//! Writes a component in chunks as they arrive: never more than the allowed size, and stored only if the bytes match the digest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::files::{blocking, part_of};
use crate::error::{ConfigError, Result, WrongBytes};
use crate::records::Digest;

/// A file that is being written. Dropping this removes it.
#[derive(Debug)]
pub struct Incoming {
    digest: Digest,
    most_bytes: u64,
    written_bytes: u64,
    /// Taken while another thread works on the file, and then put back.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    hasher: Sha256,
    part: TemporaryFile,
    path: PathBuf,
}

/// A file that is removed on drop unless it was kept.
#[derive(Debug)]
struct TemporaryFile {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // Files that cannot be removed now are removed with other leftovers of interrupted writes.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Incoming {
    pub(super) fn begin(folder: &Path, digest: Digest, path: PathBuf, most_bytes: u64) -> Result<Self> {
        let part = part_of(folder, digest);
        let opened = fs::create_dir_all(folder).and_then(|()| File::create_new(&part));
        let file = opened.map_err(|source| ConfigError::ComponentFolder { doing: "write", path: part.clone(), source })?;
        let part = TemporaryFile { path: part, is_kept: false };
        let open = Some(Open { file, hasher: Sha256::new(), part, path });
        Ok(Incoming { digest, most_bytes, written_bytes: 0, open })
    }

    /// The number of bytes written.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Writes the next chunk.
    ///
    /// # Errors
    /// `ComponentFolder`; `WrongComponent` if it exceeds the allowed size.
    ///
    /// # Cancel safety
    /// The written part is removed.
    pub async fn write(&mut self, piece: Bytes) -> Result<()> {
        let written_bytes = self.written_bytes + piece.len() as u64;
        if written_bytes > self.most_bytes {
            return Err(self.wrong(WrongBytes::TooMany { most_bytes: self.most_bytes }));
        }
        let mut open = self.open.take().ok_or_else(|| self.gone())?;
        let (open, written) = blocking(move || {
            open.hasher.update(&piece);
            let written = open.file.write_all(&piece);
            (open, written)
        })
        .await;
        written.map_err(|source| ConfigError::ComponentFolder { doing: "write", path: open.part.path.clone(), source })?;
        (self.written_bytes, self.open) = (written_bytes, Some(open));
        Ok(())
    }

    /// Stores what was written, if it is the component. When this returns, the file is durable and complete.
    ///
    /// # Errors
    /// `ComponentFolder`; `WrongComponent` if the bytes have another digest.
    pub async fn finish(mut self) -> Result<()> {
        let open = self.open.take().ok_or_else(|| self.gone())?;
        let digest = Digest::from_sha256(open.hasher.clone().finalize().into());
        if digest != self.digest {
            return Err(self.wrong(WrongBytes::Other { digest, size_bytes: self.written_bytes }));
        }
        blocking(move || open.keep()).await
    }

    fn wrong(&self, came: WrongBytes) -> ConfigError {
        ConfigError::WrongComponent { digest: self.digest, came }
    }

    fn gone(&self) -> ConfigError {
        let source = io::Error::other("an earlier chunk was not written");
        ConfigError::ComponentFolder { doing: "write", path: PathBuf::from(self.digest.to_hex()), source }
    }
}

impl Open {
    fn keep(mut self) -> Result<()> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.part.path, &self.path)).and_then(|()| {
            self.part.is_kept = true;
            self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        });
        kept.map_err(|source| ConfigError::ComponentFolder { doing: "write", path: self.path.clone(), source })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::ComponentFolder;
    use super::super::files::digest_of;
    use super::*;

    async fn received(folder: &ComponentFolder, pieces: &[&'static [u8]], most_bytes: u64) -> Result<()> {
        let mut incoming = folder.receive(digest_of(b"component"), most_bytes).await?;
        for piece in pieces {
            incoming.write(Bytes::from_static(piece)).await?;
        }
        incoming.finish().await
    }

    #[tokio::test]
    async fn only_a_complete_component_is_kept() {
        let temp = tempfile::tempdir().unwrap();
        let folder = ComponentFolder::new(temp.path().join("components"));
        let files = || fs::read_dir(temp.path().join("components")).unwrap().count();
        let error = received(&folder, &[b"comp", b"onents"], 9).await.unwrap_err();
        assert!(error.to_string().contains("more bytes arrived than the component's size, 9"), "{error}");
        let error = received(&folder, &[b"componen"], 9).await.unwrap_err();
        let other = digest_of(b"componen");
        assert!(error.to_string().contains(&format!("8 bytes with digest {other} arrived")), "{error}");
        drop(folder.receive(other, 9).await.unwrap());
        assert_eq!(files(), 0);
        received(&folder, &[b"comp", b"", b"onent"], 9).await.unwrap();
        assert_eq!((files(), folder.get(digest_of(b"component")).await.unwrap().as_deref()), (1, Some(&b"component"[..])));
    }
}
