//! The URL of an admin API.

use reqwest::Url;

pub(super) const FORM: &str = "write it as http://HOST:8080 or https://HOST:8443";

/// Checks the form of an admin API's URL, without connecting.
///
/// # Errors
/// The problem, for display.
pub fn check_pulsar_admin_url(url: &str) -> Result<(), String> {
    parse(url).map(|_| ())
}

pub(super) fn parse(url: &str) -> Result<Url, String> {
    let parsed: Url = url.parse().map_err(|_| format!("it is not a URL; {FORM}"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(format!("its scheme is neither http nor https; {FORM}"));
    }
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(format!("the host is missing; {FORM}"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(format!("a Pulsar URL has no user or password: use a token (broker.token-file); {FORM}"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(format!("unexpected text after the address; {FORM}"));
    }
    Ok(parsed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn address_problems_are_reported() {
        for (url, expected) in [
            ("", "it is not a URL"),
            ("ftp://host", "its scheme"),
            ("http://u:secret@host:8080", "no user or password"),
            ("http://host/?x", "after the address"),
        ] {
            let error = check_pulsar_admin_url(url).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
        assert!(check_pulsar_admin_url("https://host:8443/").is_ok());
    }
}
