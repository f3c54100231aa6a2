//! What is given to a host only on the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::token::Secret;

/// Options of a host besides the settings, only from the command line of `weir run host`.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostOptions {
    /// Its name in the status; `None`: a unique one.
    pub(crate) name: Option<String>,
    /// The gateway that stores the components.
    pub(crate) gateway: Option<String>,
    /// CAs for that gateway's certificate; `None`: those of the system.
    pub(crate) ca: Option<PathBuf>,
    /// The token for that gateway.
    pub(crate) token: Option<Secret>,
    /// Components in files, by the name of their processor.
    pub(crate) files: BTreeMap<String, PathBuf>,
}
