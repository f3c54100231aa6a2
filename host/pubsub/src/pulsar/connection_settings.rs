//! How to connect to brokers: their address, the token and the certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::{Address, Node};
use super::tls;
use crate::error::{PubsubError, Result};
use crate::tls_files::TlsFiles;

/// The time-out for connecting to one node, including TLS.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// The maximum size of a token file.
const MAX_TOKEN_BYTES: usize = 64 << 10;

/// Settings shared by all connections.
pub(super) struct ConnectionSettings {
    pub(super) address: Address,
    token_file: Option<PathBuf>,
    tls: Option<TlsConnector>,
    /// Certificate authorities in PEM, also for the admin API.
    pub(super) authorities: Option<Vec<u8>>,
    /// Certificate and key in PEM, concatenated.
    pub(super) identity: Option<Vec<u8>>,
}

/// A byte stream to a node.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl ConnectionSettings {
    /// # Errors
    /// `Refused` for an invalid URL or file.
    pub(super) fn new(url: &str, tls: &TlsFiles, token_file: Option<&Path>) -> Result<Self> {
        let address = Address::parse(url).map_err(|problem| PubsubError::refused(format!("broker.url: {problem}")))?;
        let authorities = tls.ca_file.as_ref().map(|file| read("broker.ca-file", file)).transpose()?;
        let identity = match &tls.certificate_files {
            None => None,
            Some((certificate, key)) => {
                let mut pem = read("broker.certificate-file", certificate)?;
                pem.push(b'\n');
                pem.extend(read("broker.key-file", key)?);
                Some(pem)
            }
        };
        let config = address.is_encrypted.then(|| config(authorities.as_deref(), identity.as_deref())).transpose()?;
        let tls = config.map(|config| TlsConnector::from(Arc::new(config)));
        let settings = ConnectionSettings { address, token_file: token_file.map(Path::to_owned), tls, authorities, identity };
        settings.token()?;
        Ok(settings)
    }

    /// The token, read at each call, so that it can be renewed by replacing the file.
    ///
    /// # Errors
    /// `Refused` if the file is unreadable or has no token.
    pub(super) fn token(&self) -> Result<Option<String>> {
        let Some(file) = &self.token_file else { return Ok(None) };
        let wrong = |problem: &str| PubsubError::refused(format!("broker.token-file: {} {problem}", file.display()));
        let bytes = read("broker.token-file", file)?;
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(wrong("is too large to be a token: it must contain only the token"));
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong("contains no token: it is not text"))?;
        match text.trim() {
            "" => Err(wrong("is empty: write the token into it")),
            token if token.contains(char::is_whitespace) => Err(wrong("contains more than a token: it must contain only the token")),
            token => Ok(Some(token.to_owned())),
        }
    }

    /// The file that holds the token.
    pub(super) fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// The authentication method and its data.
    ///
    /// # Errors
    /// As [`ConnectionSettings::token`].
    pub(super) fn identification(&self) -> Result<(Option<String>, Option<Vec<u8>>)> {
        Ok(match self.token()? {
            Some(token) => (Some("token".to_owned()), Some(token.into_bytes())),
            // TLS presents the certificate.
            None if self.identity.is_some() => (Some("tls".to_owned()), None),
            None => (None, None),
        })
    }

    /// Connects to a node.
    ///
    /// # Errors
    /// `Unavailable`, with the error of the operating system; `Refused` for certificates.
    pub(super) async fn reach(&self, node: &Node) -> Result<Box<dyn Stream>> {
        let failed = |error: std::io::Error| PubsubError::unavailable_because(format!("{node} cannot be reached"), error);
        let reaching = async {
            let socket = TcpStream::connect((node.host.as_str(), node.port)).await.map_err(failed)?;
            socket.set_nodelay(true).map_err(failed)?;
            let Some(connector) = &self.tls else { return Ok(Box::new(socket) as Box<dyn Stream>) };
            let name = ServerName::try_from(node.host.clone());
            let name = name.map_err(|error| PubsubError::refused_because(format!("{node} has no name for TLS"), error))?;
            let stream = connector.connect(name, socket).await.map_err(|error| {
                if let Some(problem) = tls::problem(&error, "broker.url", "6651") {
                    return PubsubError::refused(format!("{node}: {problem}"));
                }
                let hint = "check broker.ca-file, and that this is its port for TLS (6651)";
                PubsubError::unavailable_because(format!("the TLS handshake with {node} failed; {hint}"), error)
            })?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        };
        let late = |_| Err(PubsubError::unavailable(format!("{node} does not answer within {} s", CONNECT_TIME.as_secs())));
        timeout(CONNECT_TIME, reaching).await.unwrap_or_else(late)
    }
}

fn read(field: &str, file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| {
        let reason = format!("{field}: {} cannot be read: {error}", file.display());
        PubsubError::refused_because(reason, error)
    })
}

fn config(authorities: Option<&[u8]>, identity: Option<&[u8]>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| PubsubError::refused("broker.ca-file is not a PEM file"))?;
                roots
                    .add(certificate)
                    .map_err(|error| PubsubError::refused_because("broker.ca-file contains an unusable certificate", error))?;
            }
            if roots.is_empty() {
                return Err(PubsubError::refused("broker.ca-file contains no PEM certificates"));
            }
        }
        None => {
            // Unreadable ones are skipped: the others may be sufficient.
            let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let unusable = |error: rustls::Error| PubsubError::refused_because("TLS cannot be set up", error);
    let builder = builder.map_err(unusable)?.with_root_certificates(roots);
    let Some(pem) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| PubsubError::refused("broker.certificate-file is not a PEM file"))?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| PubsubError::refused("broker.key-file contains no PEM private key"))?;
    let unusable = |error| PubsubError::refused_because("broker.certificate-file and broker.key-file cannot be used together", error);
    builder.with_client_auth_cert(chain, key).map_err(unusable)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_its_file_for_each_use() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let settings = || ConnectionSettings::new("pulsar://host", &TlsFiles::default(), Some(&file));
        for (content, expected) in [("", "is empty"), ("two words", "more than a token")] {
            fs::write(&file, content).unwrap();
            let error = settings().err().unwrap().to_string();
            assert!(error.contains(expected) && error.contains("broker.token-file") && !error.contains("words"), "{error}");
        }
        fs::write(&file, "one\n").unwrap();
        let settings = settings().unwrap();
        assert_eq!(settings.token().unwrap().as_deref(), Some("one"));
        fs::write(&file, "two").unwrap();
        assert_eq!(settings.token().unwrap().as_deref(), Some("two"));
        fs::remove_file(&file).unwrap();
        assert!(settings.token().unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn files_for_tls_are_read_only_where_they_are_used() {
        let missing = TlsFiles { ca_file: Some("/no/such/file".into()), ..TlsFiles::default() };
        let error = ConnectionSettings::new("pulsar+ssl://host", &missing, None).err().unwrap().to_string();
        assert!(error.contains("broker.ca-file"), "{error}");
        assert!(ConnectionSettings::new("pulsar+ssl://host", &TlsFiles::default(), None).unwrap().tls.is_some());
    }
}
