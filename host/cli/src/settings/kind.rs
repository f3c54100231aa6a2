//! Types of settings: how they are parsed, and how they are described.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use weir_config::units::{parse_size, parse_time, shown_size, shown_time};
use weir_pubsub::{Class, Topic, check_management_url, check_pulsar_admin_url, check_url, nearest, shown_url};

/// A setting's value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A string.
    Text(String),
    /// The URL of a broker or of its management API, which is shown without its password; empty if not set.
    Url(String),
    /// A number.
    Count(u64),
    /// Bytes.
    Size(u64),
    /// A time.
    Time(Duration),
}

impl Value {
    /// The string, or the URL with its password; empty for other kinds.
    pub(super) fn text(&self) -> &str {
        if let Value::Text(text) | Value::Url(text) = self { text } else { "" }
    }

    /// The number, the size in bytes, or the time in milliseconds.
    pub(super) fn number(&self) -> u64 {
        match self {
            Value::Text(_) | Value::Url(_) => 0,
            Value::Count(number) | Value::Size(number) => *number,
            Value::Time(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The time; zero for other kinds.
    pub(super) fn time(&self) -> Duration {
        if let Value::Time(time) = self { *time } else { Duration::ZERO }
    }

    /// As in a settings file.
    pub(crate) fn to_toml(&self) -> String {
        match self {
            Value::Count(number) => number.to_string(),
            other => format!("{:?}", other.to_string()),
        }
    }

    /// As JSON: a number, or the string as in a settings file.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Count(number) => (*number).into(),
            other => other.to_string().into(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Url(url) if url.is_empty() => Ok(()),
            Value::Url(url) => f.write_str(&shown_url(url)),
            Value::Count(number) => write!(f, "{number}"),
            Value::Size(bytes) => f.write_str(&shown_size(*bytes)),
            Value::Time(time) => f.write_str(&shown_time(*time)),
        }
    }
}

/// As it is displayed.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_toml())
    }
}

/// The type of a value, with its bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// An address with a port.
    Address,
    /// A log filter.
    Filter,
    /// The second part of a topic.
    Topicspace,
    /// A file, without a default. An empty string is an error, so that an empty variable does not disable the feature.
    Path,
    /// The URL of a gateway. Without a default.
    GatewayUrl,
    /// The URL of a broker, which may contain a password.
    BrokerUrl,
    /// The URL of a broker's management API, which may contain a password. Without a default.
    ManagementUrl,
    /// The URL of Pulsar's admin API.
    PulsarAdminUrl,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number within these bounds.
    Count(u64, u64),
    /// Bytes within these bounds.
    Size(u64, u64),
    /// A time within these bounds.
    Time(Duration, Duration),
}

impl Kind {
    /// Parses a string from the environment, a flag, or a quoted value in a file. The error does not repeat what is allowed.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        match self {
            Kind::Address => match text.parse::<SocketAddr>() {
                Ok(address) => Ok(Value::Text(address.to_string())),
                Err(_) => Err(format!("{text:?} is not an address with a port")),
            },
            Kind::Filter => match EnvFilter::try_new(text) {
                Ok(_) if !text.trim().is_empty() => Ok(Value::Text(text.to_owned())),
                _ => Err(format!("{text:?} is not a valid log filter")),
            },
            Kind::Topicspace => match Topic::new(Class::Flow, text, "name") {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(error) => Err(format!("{text:?} is not a valid topicspace: {error}")),
            },
            Kind::Path if text.trim().is_empty() => Err("the path is empty: give a file, or remove the setting".to_owned()),
            Kind::Path => Ok(Value::Text(text.to_owned())),
            Kind::GatewayUrl => read_gateway_url(text).map(Value::Text),
            Kind::BrokerUrl => check_url(text).map(|()| Value::Url(text.to_owned())),
            Kind::ManagementUrl => check_management_url(text).map(|()| Value::Url(text.to_owned())),
            Kind::PulsarAdminUrl => check_pulsar_admin_url(text).map(|()| Value::Text(text.to_owned())),
            Kind::Word(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Kind::Word(words) => Err(match nearest(text, words.iter().copied()) {
                Some(word) => format!("{text:?} is not a valid value; did you mean {word:?}?"),
                None => format!("{text:?} is not a valid value"),
            }),
            Kind::Count(..) => self.count(text.parse().map_err(|_| format!("{text:?} is not a number"))?),
            Kind::Size(from, to) => {
                let bytes = parse_size(text).map_err(|_| format!("{text:?} is not a valid size"))?;
                if bytes < *from {
                    Err(too(text, "small"))
                } else if bytes > *to {
                    Err(too(text, "large"))
                } else {
                    Ok(Value::Size(bytes))
                }
            }
            Kind::Time(from, to) => {
                let time = parse_time(text).map_err(|_| format!("{text:?} is not a valid time"))?;
                if time < *from {
                    Err(too(text, "short"))
                } else if time > *to {
                    Err(too(text, "long"))
                } else {
                    Ok(Value::Time(time))
                }
            }
        }
    }

    /// Accepts a number without quotes.
    pub(super) fn read_number(&self, number: u64) -> Result<Value, String> {
        match self {
            Kind::Count(..) => self.count(number),
            Kind::Size(..) => Err(format!("{number} has no unit")),
            Kind::Time(..) => Err(format!("{number} has no unit")),
            Kind::Address
            | Kind::Filter
            | Kind::Topicspace
            | Kind::Path
            | Kind::GatewayUrl
            | Kind::BrokerUrl
            | Kind::ManagementUrl
            | Kind::PulsarAdminUrl
            | Kind::Word(_) => Err(format!("{number} is not a string in quotes")),
        }
    }

    fn count(&self, number: u64) -> Result<Value, String> {
        match self {
            Kind::Count(from, _) if number < *from => Err(too(&number.to_string(), "small")),
            Kind::Count(_, to) if number > *to => Err(too(&number.to_string(), "large")),
            _ => Ok(Value::Count(number)),
        }
    }

    /// Whether its values may contain a password.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self, Kind::BrokerUrl | Kind::ManagementUrl)
    }

    /// What is allowed, for people.
    pub(crate) fn allowed(&self) -> String {
        match self {
            Kind::Address => "an address and port, for example 127.0.0.1:8088 or 0.0.0.0:8088; port 0 selects a free port".to_owned(),
            Kind::Filter => "a level (error, warn, info, debug, trace) or TARGET=LEVEL, several joined by commas".to_owned(),
            Kind::Topicspace => "a name without : * # . and /".to_owned(),
            Kind::Path => "a file's path".to_owned(),
            Kind::GatewayUrl => "https://HOST:PORT or http://HOST:PORT".to_owned(),
            Kind::BrokerUrl => {
                "embedded:, amqp://USER:PASSWORD@HOST:PORT,HOST2:PORT2/VHOST or pulsar://HOST:PORT,HOST2:PORT2; amqps:// or pulsar+ssl:// for TLS"
                    .to_owned()
            },
            Kind::PulsarAdminUrl => "http://HOST:PORT or https://HOST:PORT".to_owned(),
            Kind::ManagementUrl => "http://USER:PASSWORD@HOST:PORT or https://USER:PASSWORD@HOST:PORT".to_owned(),
            Kind::Word(words) => words.join(" or "),
            Kind::Count(from, to) => format!("a number from {from} to {to}"),
            Kind::Size(from, to) => format!("a size from {} to {}", shown_size(*from), shown_size(*to)),
            Kind::Time(from, to) => format!("a time from {} to {}", shown_time(*from), shown_time(*to)),
        }
    }
}

/// Parses the URL, without parts that a request would not send.
fn read_gateway_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it contains a user name or password: use a token instead".to_owned());
    }
    match matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none() {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(format!("{text:?} is not a gateway URL")),
    }
}

fn too(given: &str, how: &str) -> String {
    format!("{given} is too {how}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_range_values_are_distinguished_from_invalid_ones() {
        let check = |kind: Kind, text: &str| kind.read(text).map(|value| value.to_string());
        let size = Kind::Size(1 << 10, 1 << 20);
        assert_eq!(check(size, "1024KiB"), Ok("1MiB".to_owned()));
        assert_eq!(check(size, "1GiB"), Err("1GiB is too large".to_owned()));
        assert_eq!(check(size, "1MB"), Err("\"1MB\" is not a valid size".to_owned()));
        assert_eq!(size.read_number(5), Err("5 has no unit".to_owned()));
        let time = Kind::Time(Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!((check(time, "60s"), check(time, "10ms")), (Ok("1m".to_owned()), Err("10ms is too short".to_owned())));
        assert_eq!(check(Kind::Count(1, 9), "10"), Err("10 is too large".to_owned()));
        assert_eq!(check(Kind::Count(1, 9), "-1"), Err("\"-1\" is not a number".to_owned()));
        assert_eq!(check(Kind::Word(&["text", "json"]), "jsn"), Err("\"jsn\" is not a valid value; did you mean \"json\"?".to_owned()));
        assert!(
            check(Kind::Address, "[::1]:0").is_ok()
                && check(Kind::Address, "0.0.0.0:1").is_ok()
                && check(Kind::Address, "0.0.0.0").is_err()
        );
        assert!(
            check(Kind::Filter, "warn,weir=debug").is_ok() && check(Kind::Filter, "weir=loud").is_err() && check(Kind::Filter, "").is_err()
        );
    }

    #[test]
    fn a_gateway_url_is_a_plain_address() {
        assert_eq!(
            Kind::GatewayUrl.read("https://weir.example:8088/").map(|value| value.to_string()),
            Ok("https://weir.example:8088".to_owned())
        );
        for wrong in ["", "weir.example", "ftp://weir.example", "https://weir.example?a=1"] {
            assert!(Kind::GatewayUrl.read(wrong).is_err(), "{wrong}");
        }
        assert!(!Kind::GatewayUrl.read("https://user:secret@weir.example").unwrap_err().contains("secret"));
    }

    #[test]
    fn values_in_files_are_written_as_they_are_parsed() {
        assert_eq!((Value::Count(5).to_toml(), Value::Size(1 << 20).to_toml()), ("5".to_owned(), "\"1MiB\"".to_owned()));
    }
}
