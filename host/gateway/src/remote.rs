//! A client of a gateway: its URL, trusted certificates and token. The command line, hosts that fetch components and gateways that forward requests
//! use only this client.

mod error;
mod fault;
mod trust;

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderValue, Method};
use reqwest::{RequestBuilder, Url};

pub use self::error::RemoteError;
pub use self::fault::TlsFault;
pub use self::trust::Trust;
use crate::token::{BadToken, Token};

const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Where a client may send its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenReach {
    /// Over TLS to any address, and without TLS within this machine.
    Encrypted,
    /// To the URL as it is: a running Weir on this machine recorded it next to the token.
    Noted,
}

/// A client of one gateway. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct RemoteGateway {
    http: reqwest::Client,
    url: String,
    /// The header with the token, marked as sensitive so that it is never shown.
    authorization: Option<HeaderValue>,
}

impl RemoteGateway {
    /// Creates a client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`RemoteError`], before anything could reach another machine.
    pub fn new(url: &str, trust: &Trust, token: Option<&str>, reach: TokenReach) -> Result<Self, RemoteError> {
        let url = url.trim_end_matches('/').to_owned();
        let parsed = parse(&url)?;
        let is_encrypted = parsed.scheme() == "https";
        if token.is_some() && reach == TokenReach::Encrypted && !is_encrypted && !is_local(&parsed) {
            return Err(RemoteError::TokenInClear { url });
        }
        let authorization = token.map(authorization).transpose()?;
        // Connections between Weir's own processes must not use a proxy of the environment; a gateway never redirects.
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).connect_timeout(CONNECT_TIME);
        // A gateway whose slots are all taken does not read meanwhile: by default the connection would be aborted after 30 s.
        #[cfg(target_os = "linux")]
        let http = http.tcp_user_timeout(None);
        let http = trust::apply(http, if is_encrypted { Some(trust) } else { None })?.build()?;
        Ok(RemoteGateway { http, url, authorization })
    }

    /// The gateway's URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Creates a request to a path, which begins with a slash, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.authorization {
            Some(authorization) => request.header(axum::http::header::AUTHORIZATION, authorization.clone()),
            None => request,
        }
    }

    /// The TLS problem between client and gateway, if it made a request fail.
    pub fn tls_fault(error: &reqwest::Error) -> Option<TlsFault> {
        TlsFault::of(error)
    }
}

fn parse(url: &str) -> Result<Url, RemoteError> {
    let bad = || match url.rfind('@') {
        // The part before it may be a password, even if the rest cannot be parsed.
        Some(at) => RemoteError::UserInfo { url: format!("***{}", &url[at..]) },
        None => RemoteError::BadUrl { url: url.to_owned() },
    };
    let parsed = Url::parse(url).map_err(|_| bad())?;
    let is_usable =
        matches!(parsed.scheme(), "http" | "https") && parsed.has_host() && parsed.query().is_none() && parsed.fragment().is_none();
    let is_bare = parsed.username().is_empty() && parsed.password().is_none();
    if is_usable && is_bare { Ok(parsed) } else { Err(bad()) }
}

/// Whether a URL is for this machine.
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn authorization(token: &str) -> Result<HeaderValue, BadToken> {
    Token::new(token)?;
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).expect("what a token may hold is allowed in a header");
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const TOKEN: &str = "the-token-of-a-gateway";

    fn refused(url: &str, token: Option<&str>, reach: TokenReach) -> Option<String> {
        RemoteGateway::new(url, &Trust::System, token, reach).err().map(|error| error.to_string())
    }

    #[test]
    fn a_token_is_sent_to_other_machines_over_tls_only() {
        for url in ["http://127.0.0.1:8088", "http://localhost:8088/", "http://[::1]:8088", "http://127.5.0.1"] {
            assert_eq!(refused(url, Some(TOKEN), TokenReach::Encrypted), None, "{url}");
        }
        for url in ["http://10.0.0.1:8088", "http://weir.example", "http://localhost.example:8088", "http://[::2]:8088", "http://0.0.0.0:1"]
        {
            let problem = refused(url, Some(TOKEN), TokenReach::Encrypted).unwrap();
            assert_eq!(problem, format!("the token is not sent to {url}: without TLS it could be read in transit"));
            assert_eq!(refused(url, None, TokenReach::Encrypted), None, "{url}");
            assert_eq!(refused(url, Some(TOKEN), TokenReach::Noted), None, "{url}");
        }
    }

    #[test]
    fn only_a_server_address_is_a_gateway_url() {
        for url in ["", "weir.example", "ftp://weir.example", "http://", "http://weir.example?a=1", "unix:/a"] {
            assert!(
                refused(url, None, TokenReach::Encrypted).is_some_and(|problem| problem.contains("does not have the form https")),
                "{url}"
            );
        }
    }

    #[test]
    fn possible_passwords_are_not_shown() {
        for url in ["https://u:pass@weir.example", "https://u:p@ss@weir.example", "u:pass@weir.example", "https://pass@weir.example/?a=1"] {
            let problem = refused(url, None, TokenReach::Encrypted).unwrap();
            assert!(problem.contains("use a token instead") && problem.contains("@weir.example"), "{problem}");
            assert!(!problem.contains("pass@") && !problem.contains("p@ss"), "{problem}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let gateway = RemoteGateway::new("http://127.0.0.1:1/", &Trust::System, Some(TOKEN), TokenReach::Encrypted).unwrap();
        assert_eq!(gateway.url(), "http://127.0.0.1:1");
        let request = gateway.request(Method::GET, "/healthz").build().unwrap();
        assert!(request.headers()["authorization"].is_sensitive());
        assert!(!format!("{gateway:?} {request:?}").contains(TOKEN));
        assert!(matches!(
            RemoteGateway::new("http://127.0.0.1:1", &Trust::System, Some("short"), TokenReach::Encrypted),
            Err(RemoteError::BadToken(BadToken::Length { .. }))
        ));
    }
}
