//! How a client checks the certificate of a gateway.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::ClientBuilder;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};
use weir_config::records::Digest;

use super::error::RemoteError;

/// Larger than the CA bundle of an operating system.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Which certificates of a gateway are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those signed by the CAs of the operating system.
    System,
    /// Those signed by the CAs in this PEM file, and no others.
    Authorities(PathBuf),
    /// The one with this SHA-256 digest, whatever its names and dates: a running Weir recorded it in its own data folder.
    Certificate(Digest),
}

/// Configures what a client trusts; `None`: it does not use TLS, and the system's CAs are not read.
pub(super) fn apply(http: ClientBuilder, trust: Option<&Trust>) -> Result<ClientBuilder, RemoteError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = || {
        let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        config.expect("the provider serves TLS 1.2 and 1.3")
    };
    let mut config = match trust {
        Some(Trust::System) => return Ok(http),
        Some(Trust::Authorities(file)) => config().with_root_certificates(authorities(file)?).with_no_client_auth(),
        Some(Trust::Certificate(digest)) => {
            let verifier = Arc::new(OneCertificate { digest: *digest, provider: provider.clone() });
            config().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        None => config().with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(http.tls_backend_preconfigured(config))
}

fn authorities(file: &Path) -> Result<RootCertStore, RemoteError> {
    let unreadable = |source| RemoteError::UnreadableAuthorities { file: file.to_owned(), source };
    let mut pem = Vec::new();
    File::open(file).and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut pem)).map_err(unreadable)?;
    roots(&pem).map_err(|problem| RemoteError::BadAuthorities { file: PathBuf::from(file), problem })
}

/// The CAs in PEM data, or the problem with it.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    if pem.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("has more than {MAX_FILE_BYTES} bytes: give a PEM file with the CA certificate"));
    }
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
        let certificate = certificate.map_err(|error| format!("is damaged at certificate {number}: {error:?}"))?;
        roots.add(certificate).map_err(|error| format!("contains something other than a CA certificate at position {number}: {error}"))?;
    }
    match roots.is_empty() {
        true => Err("contains no certificate: give a PEM file that contains `-----BEGIN CERTIFICATE-----`".to_owned()),
        false => Ok(roots),
    }
}

/// Trusts one certificate by its digest. The handshake signature is verified as usual.
#[derive(Debug)]
struct OneCertificate {
    digest: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OneCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match Digest::from_sha256(Sha256::digest(end_entity).into()) == self.digest {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_ca_is_reported_with_the_reason() {
        for (pem, problem) in [
            ("", "contains no certificate"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "contains no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "contains something other than a CA certificate at position \
                 1",
            ),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "is damaged at certificate 1"),
        ] {
            let found = roots(pem.as_bytes()).unwrap_err();
            assert!(found.starts_with(problem), "{found}");
        }
        let missing = authorities(Path::new("/nothing/here.pem")).unwrap_err();
        assert_eq!(missing.to_string(), "the CA file /nothing/here.pem cannot be read");
    }
}
