//! Who may speak to a gateway without a token: programs of this machine, and no web page.
//!
//! A page of any site can make a browser send requests to `localhost`. Browsers then say so by `Origin`; and a page whose own name was
//! pointed at this machine (DNS rebinding) shows in `Host`. So both are looked at before anything else, on every path.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::Response;

use crate::error::{GatewayError, Result};

/// Refuses requests of web pages and requests to other machines.
pub(crate) async fn local_only(request: Request, next: Next) -> Result<Response> {
    check(request.headers(), request.uri().authority())?;
    Ok(next.run(request).await)
}

fn check(headers: &HeaderMap, target: Option<&Authority>) -> Result<()> {
    if let Some(origin) = headers.get(ORIGIN) {
        return Err(GatewayError::ForeignOrigin { origin: shown(origin.as_bytes()) });
    }
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

    #[test]
    fn only_this_machine_is_local() {
        for host in ["localhost", "LOCALHOST:8088", "127.0.0.1", "127.1.2.3:1", "[::1]", "[::1]:8088"] {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["", "weir.example", "localhost.example", "127.0.0.1.example", "10.0.0.1:8088", "[::2]", "user@localhost", "0.0.0.0", "a b"]
        {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn an_origin_or_a_foreign_or_doubled_host_is_refused() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            headers
        };
        let refused = |pairs: &[(&'static str, &str)]| check(&headers(pairs), None).map_err(|error| error.to_string());
        assert_eq!(refused(&[("host", "localhost:8088")]), Ok(()));
        assert!(refused(&[("host", "localhost"), ("origin", "http://localhost")]).unwrap_err().contains("web page"));
        assert!(refused(&[("host", "evil.example")]).unwrap_err().contains("evil.example"));
        assert!(refused(&[]).is_err());
        assert!(refused(&[("host", "localhost"), ("host", "evil.example")]).is_err());
        assert!(check(&headers(&[("host", "localhost")]), Some(&"evil.example".parse().unwrap())).is_err());
    }
}
