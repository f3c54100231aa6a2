//! Named steps of operations, at which tests can halt a process, so that kills and pauses hit exactly the intended step.

/// Marks a completed step. In debug builds, if `WEIR_TEST_FAILPOINTS` is a folder with a file `NAME.hold`, it records that in `NAME.reached` there, and
/// continues once `NAME.hold` is gone.
#[cfg(debug_assertions)]
pub(crate) async fn failpoint(name: &str) {
    static FOLDER: std::sync::OnceLock<Option<std::path::PathBuf>> = std::sync::OnceLock::new();
    let Some(folder) = FOLDER.get_or_init(|| std::env::var_os("WEIR_TEST_STEPS").map(Into::into)) else { return };
    let hold = folder.join(name).with_extension("hold");
    while hold.exists() {
        if std::fs::write(hold.with_extension("reached"), name).is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Nothing in release builds.
#[cfg(not(debug_assertions))]
pub(crate) async fn failpoint(_name: &str) {}
