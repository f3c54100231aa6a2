//! Access control of a gateway.
//!
//! A request with a token of the gateway is accepted from anywhere, web pages included: a page has the token only if it was given to it. It must have
//! the [scope](crate::scope) that its path requires. On a gateway that has tokens, a request without one reaches only the open paths: it may come
//! from programs on any machine and use any host name, for health checks of load balancers, but not from web pages.
//!
//! A gateway without tokens serves only programs on this machine and no web pages: a page of any site can make a browser send requests to
//! `localhost`. Three headers that a page cannot change reveal such a request, and all are checked first:
//! - `Origin` accompanies every request whose response a script may read or that changes something, and every WebSocket;
//! - `Sec-Fetch-Site` (Fetch Metadata, W3C) accompanies all requests, including those of an `<img>` or a `no-cors` fetch, which have no `Origin`;
//! - `Host` reveals a page whose own name points at this machine (DNS rebinding).
//!
//! The only exception is a person following a link to the [pages to read](is_page).

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, UPGRADE};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method};
use percent_encoding::percent_decode_str;

use crate::body;
use crate::caller::Caller;
use crate::error::{GatewayError, Result};
use crate::scope::AccessRule;
use crate::tokens::Tokens;

/// The origin of a browser's request, relative to the gateway.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How a browser will use the response.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Refuses a request whose sender may not use this gateway or a path with this access rule; otherwise attaches the [sender](Caller) to the request.
pub(crate) async fn admit(tokens: Option<&Tokens>, need: AccessRule, request: Request) -> Result<Request> {
    let (mut parts, body) = request.into_parts();
    match check(tokens, need, &parts) {
        Ok(caller) => {
            parts.extensions.insert(caller);
            Ok(Request::from_parts(parts, body))
        }
        Err(error) => {
            // The sender of a large body receives the error instead of a broken connection.
            body::drain(&mut body.into_data_stream()).await;
            Err(error)
        }
    }
}

fn check(tokens: Option<&Tokens>, need: AccessRule, request: &Parts) -> Result<Caller> {
    let Some(tokens) = tokens else { return local_program_only(request).map(|()| Caller::SELF) };
    let shown = shown_token(request);
    let caller = shown.as_ref().and_then(|shown| tokens.scope_of(shown)).map(Caller::Trusted);
    match (need.least(), caller, shown) {
        (None, Some(caller), _) => Ok(caller),
        (None, None, _) => program_only(request).map(|()| Caller::Unknown),
        (Some(least), Some(caller), _) => {
            caller.require(least, || format!("{} {}", request.method, weir_pubsub::shown(request.uri.path()))).map(|()| caller)
        }
        (Some(_), None, Some(_)) => Err(GatewayError::WrongToken),
        (Some(_), None, None) => Err(GatewayError::MissingToken),
    }
}

/// The pages that a browser may open from a link on another site: they are the same for everyone and change nothing.
fn is_page(path: &str) -> bool {
    ["/", "/api/v1/weir/docs"].contains(&path)
}

/// The token of a request: `Authorization: Bearer TOKEN`. The query is used for WebSockets only, where browsers cannot set headers: URLs are logged
/// and kept in histories.
fn shown_token(request: &Parts) -> Option<Vec<u8>> {
    if let Some(header) = request.headers.get(AUTHORIZATION) {
        let (scheme, token) = header.as_bytes().split_at_checked("Bearer ".len())?;
        return scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii().to_vec());
    }
    let is_socket = request.headers.get(UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let query = request.uri.query().filter(|_| is_socket)?;
    query.split('&').find_map(|field| field.strip_prefix("token=")).map(unescaped)
}

/// Decodes percent-encoding. A `+` stays a `+`: tokens do not contain spaces, and clients send it both ways.
fn unescaped(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

fn local_program_only(request: &Parts) -> Result<()> {
    program_only(request)?;
    local_host_only(&request.headers, request.uri.authority())
}

/// Refuses requests of web pages of other sites.
fn program_only(request: &Parts) -> Result<()> {
    if let Some(origin) = request.headers.get(ORIGIN) {
        return Err(GatewayError::ForeignOrigin { origin: shown(origin.as_bytes()) });
    }
    if is_navigation(request) && is_page(request.uri.path()) { Ok(()) } else { refuse_foreign_site(&request.headers) }
}

/// Whether a person opened the address in a browser: typed it or followed a link.
fn is_navigation(request: &Parts) -> bool {
    let mode = request.headers.get(&SEC_FETCH_MODE).map(|mode| mode.as_bytes());
    request.method == Method::GET && mode == Some(b"navigate".as_slice())
}

/// Programs send no `Sec-Fetch-Site`; it is `same-origin` for what the gateway's own page loads, and `none` for a typed address.
fn refuse_foreign_site(headers: &HeaderMap) -> Result<()> {
    let foreign = headers.get_all(&SEC_FETCH_SITE).iter().find(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    foreign.map_or(Ok(()), |site| Err(GatewayError::ForeignSite { site: shown(site.as_bytes()) }))
}

fn local_host_only(headers: &HeaderMap, target: Option<&Authority>) -> Result<()> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().map(|host| host.as_bytes()).unwrap_or_default();
    let local = std::str::from_utf8(host).is_ok_and(is_local) && hosts.next().is_none();
    if !local {
        return Err(GatewayError::ForeignHost { host: shown(host) });
    }
    match target.filter(|target| !is_local(target.as_str())) {
        Some(target) => Err(GatewayError::ForeignHost { host: shown(target.as_str().as_bytes()) }),
        None => Ok(()),
    }
}

/// Whether `HOST[:PORT]` names this machine.
fn is_local(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(100).flat_map(char::escape_default).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::serve;
    use crate::token::Token;

    const TOKEN: &str = "a+token/of-some~length.==";

    #[test]
    fn only_loopback_addresses_are_local() {
        for host in ["localhost", "LOCALHOST:8088", "127.0.0.1", "127.1.2.3:1", "[::1]", "[::1]:8088"] {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["", "weir.example", "localhost.example", "127.0.0.1.example", "10.0.0.1:8088", "[::2]", "user@localhost", "0.0.0.0", "a b"]
        {
            assert!(!is_local(host), "{host}");
        }
    }

    fn tokens() -> Tokens {
        Tokens::one(Token::new(TOKEN).unwrap())
    }

    /// Checks a request to a path without variables, or to an unknown path.
    fn check(tokens: Option<&Tokens>, request: &Parts) -> Result<Caller> {
        super::check(tokens, serve::access_rules().of(&request.method, Some(request.uri.path())), request)
    }

    fn is_open(path: &str) -> bool {
        serve::access_rules().of(&Method::GET, Some(path)) == AccessRule::Open
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut builder = axum::http::Request::builder().uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn without_a_token_an_origin_or_a_foreign_or_duplicate_host_is_refused() {
        let refused = |uri: &str, pairs: &[(&str, &str)]| check(None, &request(uri, pairs)).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(refused("/", &[("host", "localhost:8088")]), Ok(()));
        assert!(refused("/", &[("host", "localhost"), ("origin", "http://localhost")]).unwrap_err().contains("web page"));
        assert!(refused("/", &[("host", "evil.example")]).unwrap_err().contains("evil.example"));
        assert!(refused("/", &[]).is_err());
        assert!(refused("/", &[("host", "localhost"), ("host", "evil.example")]).is_err());
        assert!(refused("http://evil.example/", &[("host", "localhost")]).is_err());
    }

    #[test]
    fn a_request_from_another_site_is_refused_without_a_token_even_if_it_has_no_origin() {
        let token = tokens();
        let allowed = |uri: &str, method: Method, pairs: &[(&str, &str)]| {
            let mut parts = request(uri, &[&[("host", "localhost")], pairs].concat());
            parts.method = method;
            // On a gateway with a token, an open path is guarded in the same way.
            let alike = check(Some(&token), &parts).is_ok();
            let allowed = check(None, &parts).is_ok();
            assert!(!is_open(parts.uri.path()) || alike == allowed, "{uri}");
            allowed
        };
        for path in ["/healthz", "/readyz", "/metrics", "/", "/api/v1/weir/docs", "/api/v1/weir/openapi.json", "/nothing"] {
            for site in ["cross-site", "same-site", "", "none, cross-site", "Same-Origin"] {
                assert!(!allowed(path, Method::GET, &[("sec-fetch-site", site)]), "{path} {site}");
                assert!(!allowed(path, Method::POST, &[("sec-fetch-site", site), ("sec-fetch-mode", "navigate")]), "{path} {site}");
                let by_link = allowed(path, Method::GET, &[("sec-fetch-site", site), ("sec-fetch-mode", "navigate")]);
                assert_eq!(by_link, is_page(path), "{path} {site}");
            }
            assert!(!allowed(path, Method::GET, &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]), "{path}");
            for site in ["same-origin", "none"] {
                assert!(allowed(path, Method::GET, &[("sec-fetch-site", site)]), "{path} {site}");
            }
        }
        let foreign = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("host", "evil.example")];
        assert!(check(None, &request("/", &foreign)).is_err(), "a name that was pointed at this machine");
        let bearer = format!("Bearer {TOKEN}");
        let shown = [("sec-fetch-site", "cross-site"), ("authorization", &bearer)];
        assert!(check(Some(&token), &request("/metrics", &shown)).is_ok());
    }

    #[test]
    fn the_correct_token_grants_access_to_every_path_from_anywhere() {
        let token = tokens();
        let bearer = format!("Bearer {TOKEN}");
        let allowed = |uri: &str, pairs: &[(&str, &str)]| check(Some(&token), &request(uri, pairs)).is_ok();
        assert!(allowed("/metrics", &[("authorization", &bearer), ("host", "weir.example"), ("origin", "https://page.example")]));
        assert!(allowed("/metrics", &[("authorization", &bearer.replace("Bearer", "bearer"))]));
        assert!(!allowed("/metrics", &[("authorization", &bearer.replace("Bearer", "Basic")), ("host", "localhost")]));
        assert!(!allowed("/metrics", &[("authorization", "Bearer"), ("host", "localhost")]));
        assert!(!allowed("/metrics", &[("authorization", &format!("{bearer}x")), ("host", "localhost")]));
        assert!(!allowed("/metrics", &[("host", "localhost")]));
        assert!(allowed("/healthz", &[("host", "localhost")]) && allowed("/readyz", &[("host", "localhost")]));
        assert!(!allowed("/healthz", &[("host", "localhost"), ("origin", "http://localhost")]));
    }

    #[test]
    fn with_tokens_open_paths_are_served_to_programs_under_any_host_name() {
        let token = tokens();
        let caller = |uri: &str, pairs: &[(&str, &str)]| check(Some(&token), &request(uri, pairs)).ok();
        for host in [&[("host", "weir.example")][..], &[("host", "10.0.0.1:8088")], &[]] {
            for path in ["/healthz", "/readyz", "/", "/api/v1/weir/docs", "/api/v1/weir/openapi.json"] {
                assert_eq!(caller(path, host), Some(Caller::Unknown), "{path} {host:?}");
                for page in [("origin", "https://weir.example"), ("sec-fetch-site", "cross-site")] {
                    assert_eq!(caller(path, &[host, &[page]].concat()), None, "{path} {page:?}");
                }
            }
            assert_eq!(caller("/metrics", host), None);
        }
    }

    #[test]
    fn only_sockets_show_the_token_in_the_address() {
        let token = tokens();
        let allowed = |uri: &str, pairs: &[(&str, &str)]| check(Some(&token), &request(uri, pairs)).is_ok();
        let escaped = "a%2Btoken%2fof-some~length.%3D%3d";
        for text in [TOKEN, escaped] {
            assert!(allowed(&format!("/s?a=1&token={text}"), &[("upgrade", "WebSocket")]), "{text}");
            assert!(!allowed(&format!("/s?token={text}"), &[("host", "localhost")]), "{text}");
        }
        assert!(!allowed("/s?token=", &[("upgrade", "websocket")]));
        assert!(!allowed(&format!("/s?token={TOKEN}&token=x"), &[("authorization", "Bearer x"), ("upgrade", "websocket")]));
    }

    #[test]
    fn text_without_escapes_stays_unchanged() {
        assert_eq!(unescaped("%41%4"), b"A%4");
        assert_eq!(unescaped("%zz%"), b"%zz%");
        assert_eq!(unescaped("%+1"), b"%+1");
    }
}
