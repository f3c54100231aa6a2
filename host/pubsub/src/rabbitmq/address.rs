//! The URL of a broker: `amqp://USER:PASSWORD@HOST:PORT,HOST2:PORT2/VHOST`, or `amqps` for TLS.

use lapin::uri::AMQPUri;

/// The heartbeat interval, in seconds; a connection without traffic for about twice that is considered lost.
const HEARTBEAT_SECONDS: u16 = 10;
/// The maximum number of nodes of one broker.
const MAX_NODES_COUNT: usize = 32;

/// The nodes of a broker, in the order in which they are tried.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) nodes: Vec<AMQPUri>,
    /// Whether TLS is used.
    pub(super) is_encrypted: bool,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_string())
    }
}

/// Omits user and password.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_encrypted { "amqps://" } else { "amqp://" })?;
        for (at, node) in self.nodes.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { "," }, shown(node))?;
        }
        match self.nodes.first().map(|node| node.vhost.as_str()) {
            Some("/") | None => Ok(()),
            Some(vhost) => write!(f, "/{vhost}"),
        }
    }
}

/// `HOST:PORT`.
pub(super) fn shown(node: &AMQPUri) -> String {
    format!("{}:{}", node.authority.host, node.authority.port)
}

impl Address {
    /// Parses a URL.
    ///
    /// # Errors
    /// The problem, for display; never contains a part that may hold the password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`://` is missing; {FORM}"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if url.contains(['?', '#']) {
            return Err(format!("parameters after `?` are not supported; write `?` or `#` in the password as %3F or %23; {FORM}"));
        }
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let mut nodes = Vec::new();
        for host in hosts.split(',') {
            nodes.push(node(scheme, user, host, path)?);
        }
        if nodes.len() > MAX_NODES_COUNT {
            return Err(format!("it names {} nodes; the limit is {MAX_NODES_COUNT}", nodes.len()));
        }
        Ok(Address { nodes, is_encrypted: scheme == "amqps" })
    }
}

const FORM: &str = "write it as amqp://USER:PASSWORD@HOST:PORT/VHOST, with more nodes as HOST:PORT,HOST2:PORT2";

fn node(scheme: &str, user: &str, host: &str, path: &str) -> Result<AMQPUri, String> {
    if host.is_empty() {
        return Err(format!("a host is missing; {FORM}"));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if !host.chars().all(is_plain) {
        return Err(format!("a host contains an invalid character; write `@`, `:` or `/` in the password as %40, %3A or %2F; {FORM}"));
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => match port.parse::<u16>() {
            Ok(1..) => name,
            _ => {
                return Err(format!(
                    "the port of `{name}` is not a number from 1 to 65535; write `/` or `:` in the password as %2F or %3A; {FORM}"
                ));
            }
        },
        _ => host,
    };
    let at = if user.is_empty() { String::new() } else { format!("{user}@") };
    // An empty virtual host is hardly ever intended.
    let vhost = if path.is_empty() { "%2F" } else { path };
    let mut node: AMQPUri = format!("{scheme}://{at}{host}/{vhost}").parse().map_err(|_| {
        format!(
            "the part before `@`, a host or the virtual host is not valid in a URL: write characters other than letters, digits and \
             -._~ as %XX; {FORM}"
        )
    })?;
    node.authority.host = name.to_owned();
    node.query.heartbeat = Some(HEARTBEAT_SECONDS);
    Ok(node)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_read() {
        let address = Address::parse("amqps://me:s%40cret@one:5671,two,[::1]:99/a%2Fb").unwrap();
        assert!(address.is_encrypted);
        let parts: Vec<_> = address.nodes.iter().map(|node| (node.authority.host.as_str(), node.authority.port)).collect();
        assert_eq!(parts, [("one", 5671), ("two", 5671), ("[::1]", 99)]);
        for node in &address.nodes {
            assert_eq!((node.authority.userinfo.username.as_str(), node.authority.userinfo.password.as_str()), ("me", "s@cret"));
            assert_eq!(node.vhost, "a/b");
        }
        assert_eq!(format!("{address:?}"), "amqps://one:5671,two:5671,[::1]:99/a/b");
    }

    #[test]
    fn omitted_parts_have_defaults() {
        for url in ["amqp://localhost", "amqp://localhost/", "amqp://localhost/%2F"] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.nodes[0].vhost.as_str(), address.nodes[0].authority.port), ("/", 5672), "{url}");
            assert_eq!(address.nodes[0].authority.userinfo.username, "guest");
        }
    }

    #[test]
    fn url_errors_name_the_problem_without_the_password() {
        let cases = [
            ("amqp:secret", "`://` is missing"),
            ("amqp://u:secret@", "a host is missing"),
            ("amqp://u:secret@a,,b", "a host is missing"),
            ("amqp://u:secret@host:x", "the port of `host`"),
            ("amqp://u:secret@host:70000", "the port of `host`"),
            ("amqp://u:sec/ret@host", "write `/` or `:` in the password"),
            ("amqp://u:secret@ho st", "a host contains an invalid character"),
            ("amqp://u:secret@host/v?heartbeat=1", "parameters after `?`"),
            ("amqp://u:secret@host/%ZZ%FF", "the virtual host is not valid"),
        ];
        for (url, expected) in cases {
            let error = Address::parse(url).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("secret") && !error.contains("ret@"), "{error}");
        }
    }
}
