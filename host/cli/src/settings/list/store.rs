//! Where a gateway that does not store components itself gets them from.

use std::path::PathBuf;

use super::super::definition::Definition;
use super::super::kind::{Kind, Value};

pub(super) const LIST: &[Definition] = &[
    Definition::new(
        "gateway.components-from",
        Kind::GatewayUrl,
        (
            "Store no components here; forward uploads and fetches to the gateway at this URL",
            "none: the gateway stores the components in its data folder; of several gateways only one does",
        ),
        |s| Value::Text(s.components_from.clone().unwrap_or_default()),
        |s, value| s.components_from = Some(value.text().to_owned()),
    )
    .flag("--components-from"),
    Definition::new(
        "gateway.components-token-file",
        Kind::Path,
        (
            "A file with the token for the gateway at gateway.components-from; it must permit deploying there",
            "none: that gateway requires no token",
        ),
        |s| path(s.components_token_file.as_ref()),
        |s, value| s.components_token_file = Some(value.text().into()),
    ),
    Definition::new(
        "gateway.components-ca-file",
        Kind::Path,
        ("The CAs to trust for the certificate of that gateway, a PEM file", "none: those trusted by the operating system"),
        |s| path(s.components_ca_file.as_ref()),
        |s, value| s.components_ca_file = Some(value.text().into()),
    ),
];

fn path(path: Option<&PathBuf>) -> Value {
    Value::Text(path.map(|path| path.display().to_string()).unwrap_or_default())
}
