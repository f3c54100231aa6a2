//! Causes of TLS failures, for display: problems that an operator must fix, as opposed to a temporarily unavailable node.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// What is wrong with the certificates or the protocol, and the fix; `None` for a failure of another kind. `setting` is the name of the address
/// setting, `port` the usual port with TLS.
pub(super) fn problem(error: &(dyn Error + 'static), setting: &str, port: &str) -> Option<String> {
    Some(match found(error)? {
        TlsError::InvalidCertificate(certificate) => of_certificate(certificate, setting),
        TlsError::AlertReceived(alert) => of_alert(*alert)?.to_owned(),
        TlsError::InvalidMessage(_) => {
            format!("the server there does not use TLS: set {setting} to its TLS port ({port}), or use a URL without TLS")
        }
        _ => return None,
    })
}

/// The TLS error in an error or its sources.
fn found<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // The source of an IO error is that of the error it wraps, not the wrapped error itself.
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    held.and_then(|held| found(held)).or_else(|| found(error.source()?))
}

fn of_certificate(problem: &CertificateError, setting: &str) -> String {
    match problem {
        CertificateError::UnknownIssuer => {
            "the certificate of the broker is not signed by a trusted authority: set broker.ca-file to the file of its authority".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate of the broker has expired: renew it on the broker".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate of the broker is not valid yet: check the clocks of both machines".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate of the broker is for another name: use a name in the certificate as the host in {setting}")
        }
        other => format!("the certificate of the broker cannot be used ({other}): check the certificate and broker.ca-file"),
    }
}

fn of_alert(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired
        | Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::HandshakeFailure
        | Alert::AccessDenied => Some(
            "the broker rejects the certificate of this client, or requires one: set broker.certificate-file and broker.key-file to a \
                 certificate that it trusts",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_among_the_causes() {
        let inner = TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        let told = problem(&error, "broker.url", "6651").unwrap_or_default();
        assert!(told.contains("broker.ca-file"), "{told}");
        assert_eq!(problem(&io::Error::other("closed"), "broker.url", "6651"), None);
    }
}
