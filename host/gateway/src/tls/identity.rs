//! A certificate and its key, read from two PEM files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use weir_config::records::Digest;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use crate::certificate::date;

/// Larger than any chain of certificates.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The identity that a gateway presents to clients: a certificate with its intermediate CAs, and its key.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    key: Arc<CertifiedKey>,
    digest: Digest,
    from: ASN1Time,
    until: ASN1Time,
}

/// Whether a certificate is within its validity period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is valid.
    Valid {
        /// The end of its validity.
        until: String,
        /// The time left.
        left: Duration,
    },
    /// It has expired.
    Expired {
        /// Since when.
        since: String,
    },
    /// It is not valid yet.
    NotYet {
        /// From when on.
        from: String,
    },
}

/// Why two files are not a certificate and its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadIdentity {
    /// A file cannot be read.
    #[error("the TLS {what} {} cannot be read", file.display())]
    Unreadable {
        /// `certificate` or `key`.
        what: &'static str,
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not a valid certificate or key.
    #[error("the TLS {what} {} {problem}", file.display())]
    Unusable {
        /// `certificate` or `key`.
        what: &'static str,
        /// Which.
        file: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The key does not belong to the certificate.
    #[error("the TLS key {} does not belong to the certificate {}", key.display(), certificate.display())]
    Different {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
    },
}

impl TlsIdentity {
    /// Reads a certificate, optionally followed by others of its chain, and its key.
    ///
    /// # Errors
    /// [`BadIdentity`], with the file.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, BadIdentity> {
        let bad_certificate = |problem| BadIdentity::Unusable { what: "certificate", file: certificate.to_owned(), problem };
        let bad_key = |problem| BadIdentity::Unusable { what: "key", file: key.to_owned(), problem };
        let chain = read("certificate", certificate)?;
        let private = read("key", key)?;
        let chain = chain_of(&chain).map_err(bad_certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&private).map_err(|error| bad_key(key_problem(&error)))?;
        let (digest, (from, until)) = (Digest::from_sha256(Sha256::digest(&chain[0]).into()), dates(&chain[0]).map_err(bad_certificate)?);
        let certified = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => BadIdentity::Different { certificate: certificate.to_owned(), key: key.to_owned() },
            rustls::Error::InvalidCertificate(problem) => bad_certificate(format!("cannot be used: {problem}")),
            error => bad_key(format!("cannot be used: {error}")),
        })?;
        Ok(TlsIdentity { key: Arc::new(certified), digest, from, until })
    }

    /// The SHA-256 digest of the certificate.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether the certificate is within its validity period at this time.
    pub fn validity(&self, now: SystemTime) -> Validity {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let shown = |time| date(time).unwrap_or_default();
        let left = self.until.timestamp().saturating_sub(now);
        match u64::try_from(left) {
            Err(_) => Validity::Expired { since: shown(&self.until) },
            Ok(_) if now < self.from.timestamp() => Validity::NotYet { from: shown(&self.from) },
            Ok(left) => Validity::Valid { until: shown(&self.until), left: Duration::from_secs(left) },
        }
    }

    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }
}

fn read(what: &'static str, file: &Path) -> Result<Vec<u8>, BadIdentity> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| BadIdentity::Unreadable { what, file: file.to_owned(), source })?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(BadIdentity::Unusable { what, file: file.to_owned(), problem: format!("has more than {MAX_FILE_BYTES} bytes") }),
        false => Ok(bytes),
    }
}

/// The certificates of a file, at least one.
fn chain_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|error| format!("is damaged: {error:?}"))?;
    match chain.is_empty() {
        true => Err("contains no certificate: give a PEM file that contains `-----BEGIN CERTIFICATE-----`".to_owned()),
        false => Ok(chain),
    }
}

fn key_problem(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => {
            "contains no usable private key: give a PEM file that contains `-----BEGIN PRIVATE KEY-----`, without a passphrase".to_owned()
        }
        // The parser's error may contain a part of the key.
        _ => "is damaged: its PEM cannot be read".to_owned(),
    }
}

fn dates(certificate: &[u8]) -> Result<(ASN1Time, ASN1Time), String> {
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|error| format!("cannot be read: {error}"))?;
    Ok((parsed.validity().not_before, parsed.validity().not_after))
}
