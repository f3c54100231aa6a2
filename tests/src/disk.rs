//! A small disk that a test can fill and free.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted tmpfs of a given size. It is unmounted when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts a disk.
    ///
    /// # Panics
    /// If this user may not mount: tests of full disks need root.
    #[must_use]
    pub fn new(size_kib: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size_kib}k,mode=700"), "weir-test"]).arg(folder.path());
        let output = mount.output().expect("the program `mount` is needed to test full disks");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "no tmpfs can be mounted, which tests of full disks need (run them as root): {said}");
        SmallDisk { folder }
    }

    /// Its mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills it to the last byte.
    ///
    /// # Panics
    /// If a write fails for another reason.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filling()).unwrap();
        let mut block = vec![0; 64 << 10];
        loop {
            match file.write(&block) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull && block.len() > 1 => block.truncate(block.len() / 2),
                Err(error) => return assert_eq!(error.kind(), ErrorKind::StorageFull),
            }
        }
    }

    /// Frees what [`SmallDisk::fill`] took.
    ///
    /// # Panics
    /// If it is not full.
    pub fn free(&self) {
        fs::remove_file(self.filling()).unwrap();
    }

    fn filling(&self) -> PathBuf {
        self.path().join("filling")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: files that a failed test still has open must not keep the mount.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        if !std::thread::panicking() {
            assert!(unmounted.unwrap().success());
        }
    }
}
