//! TLS errors between a client and a gateway, with the fix.

use std::error::Error;
use std::fmt;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use x509_parser::time::ASN1Time;

/// Why a gateway's TLS was refused. `Display` is the problem; [`next`](TlsFault::next) is the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// Another CA signed the certificate.
    UnknownAuthority,
    /// The certificate has other names.
    WrongName {
        /// The expected name.
        expected: String,
        /// The names in the certificate.
        named: Vec<String>,
    },
    /// The certificate has expired.
    Expired {
        /// Since when, if known.
        since: Option<String>,
    },
    /// The certificate is not valid yet.
    NotYetValid {
        /// From when on, if known.
        from: Option<String>,
    },
    /// It is not the certificate that the running Weir recorded in its data folder.
    NotTheNoted,
    /// The certificate is that of a CA itself.
    IsAuthority,
    /// The server does not use TLS.
    NotTls,
    /// Any other problem.
    Other {
        /// The library's message.
        problem: String,
    },
}

impl TlsFault {
    /// The fault among the causes of an error, if TLS is the reason.
    pub(super) fn of(error: &reqwest::Error) -> Option<Self> {
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        while let Some(error) = cause {
            // `source` of an I/O error skips the wrapped error and returns that error's source.
            let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
            let found = error.downcast_ref::<rustls::Error>().or_else(|| inner?.downcast_ref::<rustls::Error>());
            if let Some(found) = found {
                return Some(Self::of_rustls(found));
            }
            cause = inner.map_or_else(|| error.source(), |inner| Some(inner as &(dyn Error + 'static)));
        }
        None
    }

    fn of_rustls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(problem) => Self::of_certificate(problem),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsFault::NotTls,
            rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
                TlsFault::Other { problem: "the gateway does not serve this name".to_owned() }
            }
            other => TlsFault::Other { problem: other.to_string() },
        }
    }

    fn of_certificate(problem: &CertificateError) -> Self {
        match problem {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFault::UnknownAuthority,
            CertificateError::NotValidForNameContext { expected, presented } => {
                TlsFault::WrongName { expected: expected.to_str().into_owned(), named: presented.iter().map(|name| bare(name)).collect() }
            }
            CertificateError::Expired => TlsFault::Expired { since: None },
            CertificateError::ExpiredContext { not_after, .. } => TlsFault::Expired { since: date(*not_after) },
            CertificateError::NotValidYet => TlsFault::NotYetValid { from: None },
            CertificateError::NotValidYetContext { not_before, .. } => TlsFault::NotYetValid { from: date(*not_before) },
            CertificateError::ApplicationVerificationFailure => TlsFault::NotTheNoted,
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => TlsFault::IsAuthority,
            other => TlsFault::Other { problem: other.to_string() },
        }
    }

    /// The fix, for users of a command.
    pub fn next(&self) -> String {
        match self {
            TlsFault::UnknownAuthority => "give the CA that signed it: --ca FILE (or WEIR_CA), a PEM file".to_owned(),
            TlsFault::WrongName { named, .. } if named.is_empty() => {
                "replace the gateway's certificate with one that has subjectAltName, and send its process SIGHUP".to_owned()
            }
            TlsFault::WrongName { .. } => {
                "use a name in the certificate for --gateway, or replace the gateway's certificate with one for this name".to_owned()
            }
            TlsFault::Expired { .. } => {
                "replace it: write the new certificate and key to the gateway's --tls-cert and --tls-key files, and send its process SIGHUP"
                    .to_owned()
            }
            TlsFault::NotYetValid { .. } => "check the clock of this machine, and the dates of the certificate".to_owned(),
            TlsFault::NotTheNoted => "repeat the command: the certificate may just have been replaced".to_owned(),
            TlsFault::IsAuthority => {
                "replace it with one signed by the CA, without `basicConstraints=CA:TRUE`, and give the CA: --ca FILE".to_owned()
            }
            TlsFault::NotTls => "use http:// in --gateway, or the gateway's TLS port".to_owned(),
            TlsFault::Other { .. } => "check the address, and the certificate and key of the gateway".to_owned(),
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFault::UnknownAuthority => f.write_str("its certificate is not signed by a trusted CA"),
            TlsFault::WrongName { expected, named } if named.is_empty() => {
                write!(f, "its certificate names no host, so it is not valid for {expected}")
            }
            TlsFault::WrongName { expected, named } => write!(f, "its certificate is for {}, not for {expected}", named.join(", ")),
            TlsFault::Expired { since } => write!(f, "its certificate has expired{}", with_date(": on ", since.as_ref())),
            TlsFault::NotYetValid { from } => {
                write!(f, "its certificate is not valid yet{}", with_date(": it is valid from ", from.as_ref()))
            }
            TlsFault::NotTheNoted => f.write_str("its certificate is not the one recorded in the data folder"),
            TlsFault::IsAuthority => f.write_str("its certificate is a CA certificate, which a server cannot use"),
            TlsFault::NotTls => f.write_str("it does not use TLS"),
            TlsFault::Other { problem } => write!(f, "TLS failed: {problem}"),
        }
    }
}

impl Error for TlsFault {}

fn with_date(word: &str, date: Option<&String>) -> String {
    date.map(|date| format!("{word}{date}")).unwrap_or_default()
}

/// `weir.example` of `DnsName("weir.example")`, and the like.
fn bare(name: &str) -> String {
    let within = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    within.map_or(name, |within| within.trim_matches('"')).chars().take(100).flat_map(char::escape_default).collect()
}

fn date(time: UnixTime) -> Option<String> {
    crate::certificate::date(&ASN1Time::from_timestamp(i64::try_from(time.as_secs()).ok()?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_certificates_are_shown_bare() {
        let bare: Vec<String> = ["DnsName(\"*.weir.example\")", "IpAddress(127.0.0.1)", "other"].into_iter().map(bare).collect();
        assert_eq!(bare, ["*.weir.example", "127.0.0.1", "other"]);
    }
}
