//! Files for TLS connections to an external broker.

use std::path::PathBuf;

/// Files for TLS connections to an external broker; used only with a URL for TLS (`amqps`, `pulsar+ssl`).
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Certificate authorities in PEM; those of the system if `None`.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and its key, in PEM.
    pub certificate_files: Option<(PathBuf, PathBuf)>,
}
