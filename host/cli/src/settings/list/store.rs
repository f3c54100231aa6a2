//! Where components are, of a gateway that does not keep them itself.

use std::path::PathBuf;

use super::super::definition::Definition;
use super::super::kind::{Kind, Value};

pub(super) const LIST: &[Definition] = &[
    Definition::new(
        "gateway.components-from",
        Kind::GatewayUrl,
        (
            "Keep no components here, but forward uploads and fetches to the gateway at this URL",
            "none: the gateway keeps the components in its data folder; of several gateways one does",
        ),
        |s| Value::Text(s.components_from.clone().unwrap_or_default()),
        |s, value| s.components_from = Some(value.text().to_owned()),
    )
    .flag("--components-from"),
    Definition::new(
        "gateway.components-token-file",
        Kind::Path,
        (
            "A file with the token for the gateway of gateway.components-from, which must permit deploying there",
            "none: that gateway requires no token",
        ),
        |s| path(s.components_token_file.as_ref()),
        |s, value| s.components_token_file = Some(value.text().into()),
    ),
    Definition::new(
        "gateway.components-ca-file",
        Kind::Path,
        ("The CAs that may have signed the certificate of that gateway, a PEM file", "none: those that the operating system trusts"),
        |s| path(s.components_ca_file.as_ref()),
        |s, value| s.components_ca_file = Some(value.text().into()),
    ),
];

fn path(path: Option<&PathBuf>) -> Value {
    Value::Text(path.map(|path| path.display().to_string()).unwrap_or_default())
}
