//! The URL of a broker: `pulsar://HOST:PORT,HOST2:PORT2`, or `pulsar+ssl` for TLS.

use std::fmt;

/// The maximum number of nodes of one broker.
const MAX_NODES_COUNT: usize = 32;
const PLAIN: &str = "pulsar";
const ENCRYPTED: &str = "pulsar+ssl";
const FORM: &str = "write it as pulsar://HOST:6650, with TLS pulsar+ssl://HOST:6651, with more nodes as HOST:PORT,HOST2:PORT2";

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// The nodes of a broker, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) nodes: Vec<Node>,
    /// Whether TLS is used.
    pub(super) is_encrypted: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", if self.is_encrypted { ENCRYPTED } else { PLAIN })?;
        for (at, node) in self.nodes.iter().enumerate() {
            write!(f, "{}{node}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Address {
    /// Parses a URL.
    ///
    /// # Errors
    /// The problem, for display; never contains a part that may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`://` is missing; {FORM}"))?;
        let is_encrypted = match scheme {
            PLAIN => false,
            ENCRYPTED => true,
            _ => return Err(format!("the scheme is neither {PLAIN} nor {ENCRYPTED}; {FORM}")),
        };
        if rest.contains('@') {
            return Err(format!("a Pulsar URL has no user or password: use a token (broker.token-file); {FORM}"));
        }
        let hosts = rest.strip_suffix('/').unwrap_or(rest);
        if hosts.contains(['/', '?', '#']) {
            return Err(format!("unexpected text after the hosts: tenant and namespaces are derived from `topicspace`; {FORM}"));
        }
        let nodes = hosts.split(',').map(|host| node(host, is_encrypted)).collect::<Result<Vec<Node>, String>>()?;
        if nodes.len() > MAX_NODES_COUNT {
            return Err(format!("it names {} nodes; the limit is {MAX_NODES_COUNT}", nodes.len()));
        }
        Ok(Address { nodes, is_encrypted })
    }
}

fn node(text: &str, is_encrypted: bool) -> Result<Node, String> {
    let default_port = if is_encrypted { 6651 } else { 6650 };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(format!("a host is missing; {FORM}"));
    }
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c)) {
        return Err(format!("a host contains an invalid character; {FORM}"));
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(port @ 1..) => port,
            _ => return Err(format!("the port of `{host}` is not a number from 1 to 65535; {FORM}")),
        },
    };
    Ok(Node { host: host.to_owned(), port })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_read_and_written() {
        for (url, written) in [
            ("pulsar://one:99,two,[::1]:7", "pulsar://one:99,two:6650,[::1]:7"),
            ("pulsar+ssl://one/", "pulsar+ssl://one:6651"),
            ("pulsar://[::1]", "pulsar://[::1]:6650"),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), written);
        }
    }

    #[test]
    fn url_errors_name_the_problem_without_a_password() {
        for (url, expected) in [
            ("pulsar:secret", "`://` is missing"),
            ("pulsars://host", "the scheme"),
            ("pulsar://u:secret@host", "no user or password"),
            ("pulsar://a,,b", "a host is missing"),
            ("pulsar://host:x", "the port of `host`"),
            ("pulsar://host:70000", "the port of `host`"),
            ("pulsar://host/tenant", "after the hosts"),
            ("pulsar://ho st", "a host contains an invalid character"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
