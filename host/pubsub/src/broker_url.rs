//! The URL of a broker, from the settings: checked before it is used, and displayed without its password.

use crate::broker_kind::BrokerKind;
use crate::broker_settings::{BrokerSettings, EMBEDDED_URL};
use crate::rabbitmq;

/// Displayed in place of a password.
const HIDDEN: &str = "***";

/// Checks the form of a broker's URL, without connecting.
///
/// # Errors
/// The problem, for display; never contains a part that may hold the password.
pub fn check_url(url: &str) -> Result<(), String> {
    if let Some(kind) = BrokerKind::of(url) {
        return (kind.check_url)(url);
    }
    if url.trim().is_empty() {
        return Err("the URL is empty: set a broker, or remove the setting".to_owned());
    }
    // Without `://` the text before a colon may be anything, including a password.
    match url.split_once("://").filter(|(scheme, _)| scheme.chars().all(|letter| letter.is_ascii_alphanumeric())) {
        Some((scheme, _)) => Err(format!("unknown broker scheme `{}`", crate::error_text::shown(scheme))),
        None => Err("the scheme is missing".to_owned()),
    }
}

/// The URL of a broker or of its management API with `***` in place of its password. Anything else is displayed as `***`.
pub fn shown_url(url: &str) -> String {
    if url == EMBEDDED_URL {
        return url.to_owned();
    }
    if !is_url(url) {
        return HIDDEN.to_owned();
    }
    match password(url) {
        Some(password) => {
            let from = password.start;
            format!("{}{HIDDEN}{}", &url[..from], &url[password.end..])
        }
        None => url.to_owned(),
    }
}

/// Whether the URL of a broker or of its management API contains a password.
pub fn has_password(url: &str) -> bool {
    is_url(url) && password(url).is_some()
}

/// Omits the password.
impl std::fmt::Debug for BrokerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BrokerSettings { url, folder, limits, tls, management, pulsar, .. } = self;
        let (url, management) = (&shown_url(url), &management.as_deref().map(shown_url));
        f.debug_struct("BrokerSettings")
            .field("url", url)
            .field("folder", folder)
            .field("limits", limits)
            .field("tls", tls)
            .field("management", management)
            .field("pulsar", pulsar)
            .field("embedded", &self.embedded)
            .finish()
    }
}

fn is_url(url: &str) -> bool {
    check_url(url).is_ok() || rabbitmq::check_management_url(url).is_ok()
}

/// The position of the password in a valid URL.
fn password(url: &str) -> Option<std::ops::Range<usize>> {
    let begin = url.find("://")? + "://".len();
    let end = url[begin..].find('/').map_or(url.len(), |at| begin + at);
    let at = begin + url[begin..end].rfind('@')?;
    let colon = begin + url[begin..at].find(':')?;
    Some(colon + 1..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let cases = [
            ("embedded:", "embedded:"),
            ("amqp://host", "amqp://host"),
            ("amqp://u@host:1/v", "amqp://u@host:1/v"),
            ("amqp://u:secret@host:1,two/v", "amqp://u:***@host:1,two/v"),
            ("amqps://u:secret@host/a:b@c", "amqps://u:***@host/a:b@c"),
            ("amqp://u:sec/ret@host", "***"),
            ("u:secret@host", "***"),
            ("http://u:secret@host:15672", "http://u:***@host:15672"),
            ("https://host", "https://host"),
            ("pulsar://one:1,two", "pulsar://one:1,two"),
            ("pulsar://u:secret@host", "***"),
        ];
        for (url, expected) in cases {
            assert_eq!(shown_url(url), expected);
            assert_eq!(has_password(url), expected.contains(":***"), "{url}");
        }
    }

    #[test]
    fn url_problems_are_reported_without_the_password() {
        let cases = [
            ("", "is empty"),
            ("embedded:/folder", "use only `embedded:`"),
            ("ampq://u:secret@host", "unknown broker scheme `ampq`"),
            ("u:secret@host", "the scheme is missing"),
            ("u:secret@host://x", "the scheme is missing"),
            ("secret", "the scheme is missing"),
            ("amqp:secret", "`://` is missing"),
            ("amqp://u:secret@host:x", "the port of `host`"),
        ];
        for (url, expected) in cases {
            let error = check_url(url).err().unwrap_or_default();
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
