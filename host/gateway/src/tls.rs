//! TLS of the gateway's port: one certificate and key at a time, which can be replaced while connections are open.

mod identity;
mod incoming;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

pub use self::identity::{BadIdentity, TlsIdentity, Validity};
pub(crate) use self::incoming::{HandshakeOutcome, IncomingConnection, Stream};

/// The TLS configuration of a gateway. Cloning is cheap, and a new certificate applies to all clones.
#[derive(Clone)]
pub struct TlsServer {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// The certificate for new connections.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl TlsServer {
    /// Serves TLS 1.2 and 1.3 with this certificate, for HTTP/1.1.
    pub fn new(identity: &TlsIdentity) -> Self {
        let current = Arc::new(Current(RwLock::new(identity.certified_key())));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
        let config = config.expect("the provider serves TLS 1.2 and 1.3").with_no_client_auth();
        let mut config = config.with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsServer { acceptor: TlsAcceptor::from(Arc::new(config)), current }
    }

    /// Uses this certificate for new connections; open ones continue.
    pub fn replace(&self, identity: &TlsIdentity) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = identity.certified_key();
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsServer")
    }
}
