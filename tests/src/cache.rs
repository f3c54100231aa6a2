//! What is fetched or built once per machine: folders in `~/.cache/weir`.

use std::fs::{self, File};
use std::path::PathBuf;

/// A folder of the machine's cache, and a lock on it, held until dropped: runs of other checkouts wait. The folder may not exist yet.
///
/// # Panics
/// If the cache cannot be written.
#[must_use]
pub fn folder(name: &str) -> (File, PathBuf) {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map_or_else(|| home().join(".cache"), PathBuf::from);
    let cache = cache.join("weir");
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    (lock, cache.join(name))
}
