//! Access to the gateway: its address, tokens and certificate. Tokens and certificate are in files that are reread on SIGHUP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use weir_config::records::Digest;
use weir_gateway::{TlsIdentity, TlsServer, Tokens, Validity};
use weir_pubsub::chain;

use crate::folder::GatewayAccess;
use crate::problem::{Exit, Problem};
use crate::settings::Settings;
use crate::token::{Secret, TokenFile};

/// A certificate that expires within this time should be renewed: most are renewed a month before they expire.
pub(crate) const RENEWAL_TIME: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Access to a gateway.
pub(crate) struct Access {
    token_file: Option<PathBuf>,
    tls_files: Option<(PathBuf, PathBuf)>,
    tokens: Option<Tokens>,
    /// The token with the largest scope, for commands on the same data folder.
    secret: Option<Secret>,
    tls: Option<TlsServer>,
    /// The digest of the certificate for new connections.
    certificate: Option<Digest>,
}

impl Access {
    /// Reads all files, and refuses an address that other machines can reach without a token and TLS.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Problem> {
        let (tokens, secret) = match &settings.token_file {
            Some(file) => {
                let read = TokenFile::read(file)?;
                (Some(read.tokens()), Some(read.widest()))
            }
            None => match Secret::of_environment()? {
                Some(secret) => (Some(Tokens::one(secret.to_token()?)), Some(secret)),
                None => (None, None),
            },
        };
        let tls_files = settings.tls_cert.clone().zip(settings.tls_key.clone());
        check(settings.listen, tokens.is_some(), tls_files.is_some() || settings.behind_proxy)?;
        let identity = tls_files.as_ref().map(|(certificate, key)| identity(certificate, key)).transpose()?;
        if let Some(identity) = &identity {
            warn_about_dates(identity);
        }
        let certificate = identity.as_ref().map(TlsIdentity::digest);
        let tls = identity.as_ref().map(TlsServer::new);
        Ok(Access { token_file: settings.token_file.clone(), tls_files, tokens, secret, tls, certificate })
    }

    pub(crate) fn tokens(&self) -> Option<Tokens> {
        self.tokens.clone()
    }

    pub(crate) fn tls(&self) -> Option<TlsServer> {
        self.tls.clone()
    }

    /// Whether there is a file to reread.
    pub(crate) fn has_files(&self) -> bool {
        self.token_file.is_some() || self.tls_files.is_some()
    }

    /// How commands on the data folder reach a gateway that listens on this address.
    pub(crate) fn noted(&self, address: SocketAddr) -> GatewayAccess {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        GatewayAccess { url: format!("{scheme}://{}", from_here(address)), secret: self.secret.clone(), certificate: self.certificate }
    }

    /// Rereads tokens and certificate. An unusable file is logged, and what was read before stays in use.
    pub(crate) fn reread(&mut self) {
        if let (Some(file), Some(tokens)) = (&self.token_file, &self.tokens) {
            match TokenFile::read(file) {
                Ok(read) => {
                    read.replace(tokens);
                    self.secret = Some(read.widest());
                    tracing::info!(file = %file.display(), tokens_count = read.count(), "token file reread");
                }
                Err(problem) => tracing::error!(error = %chain(&problem), "token file unusable: the previous tokens stay valid"),
            }
        }
        if let (Some((certificate, key)), Some(tls)) = (&self.tls_files, &self.tls) {
            match identity(certificate, key) {
                Ok(identity) => {
                    tls.replace(&identity);
                    self.certificate = Some(identity.digest());
                    tracing::info!(file = %certificate.display(), digest = %identity.digest(), "certificate reread");
                    warn_about_dates(&identity);
                }
                Err(problem) => {
                    tracing::error!(error = %chain(&problem), "certificate or key unusable: the previous pair stays in use")
                }
            }
        }
    }
}

/// The certificate and key in two files.
pub(crate) fn identity(certificate: &Path, key: &Path) -> Result<TlsIdentity, Problem> {
    TlsIdentity::read(certificate, key).map_err(|error| {
        let exit = if matches!(error, weir_gateway::BadIdentity::Unreadable { .. }) { Exit::NoInput } else { Exit::Settings };
        Problem::new(exit, "the gateway's TLS cannot be set up")
            .because(error)
            .next("check gateway.tls-cert (--tls-cert FILE) and gateway.tls-key (--tls-key FILE)")
    })
}

fn warn_about_dates(identity: &TlsIdentity) {
    match identity.validity(SystemTime::now()) {
        Validity::Valid { left, until } if left < RENEWAL_TIME => tracing::warn!(until, "certificate of the gateway expires soon"),
        Validity::Valid { .. } => {}
        Validity::Expired { since } => tracing::error!(since, "certificate of the gateway expired: clients reject it"),
        Validity::NotYet { from } => tracing::error!(from, "certificate of the gateway not valid yet: clients reject it"),
    }
}

/// Refuses an address that other machines can reach unless it is protected. Reports everything missing at once.
pub(crate) fn check(listen: SocketAddr, has_tokens: bool, is_encrypted: bool) -> Result<(), Problem> {
    let missing = missing(listen.ip(), has_tokens, is_encrypted);
    if missing.is_empty() {
        return Ok(());
    }
    let details = missing.iter().map(|text| ((*text).to_owned(), Value::from(*text))).collect();
    Err(Problem::new(
        Exit::Settings,
        format!("the gateway does not listen on {listen} (setting `listen`): other machines can reach it there"),
    )
    .with_details(details)
    .next("set what is missing, or listen on this machine only: --listen 127.0.0.1:8088"))
}

fn missing(address: IpAddr, has_tokens: bool, is_encrypted: bool) -> Vec<&'static str> {
    const TOKEN: &str = "a token is missing: set gateway.token-file (--token-file FILE) or WEIR_TOKEN";
    const TLS: &str = "TLS is missing: set gateway.tls-cert and gateway.tls-key (--tls-cert FILE --tls-key FILE), or gateway.behind-proxy \
         (--behind-proxy) if a proxy in front of the gateway terminates TLS";
    let needed = [(has_tokens, TOKEN), (is_encrypted, TLS)];
    needed.into_iter().filter(|(is_there, _)| !address.is_loopback() && !is_there).map(|(_, text)| text).collect()
}

/// The address with which programs on this machine reach a listening address.
fn from_here(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_reachable_address_requires_a_token_and_tls_or_a_proxy() {
        for address in ["127.0.0.1:8088", "127.9.9.9:0", "[::1]:8088"] {
            assert!(check(address.parse().unwrap(), false, false).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:8088", "[::]:8088", "10.0.0.1:0", "[::ffff:127.0.0.1]:1", "169.254.1.1:1"] {
            let missing = |has_tokens, is_encrypted| -> Vec<String> {
                let problem = check(address.parse().unwrap(), has_tokens, is_encrypted).err();
                problem.iter().flat_map(Problem::details).map(str::to_owned).collect()
            };
            let both = missing(false, false);
            assert!(both.len() == 2 && both[0].contains("gateway.token-file") && both[1].contains("--behind-proxy"), "{address}: {both:?}");
            assert!(missing(true, false) == both[1..] && missing(false, true) == both[..1], "{address}");
            assert!(missing(true, true).is_empty(), "{address}");
        }
    }

    #[test]
    fn local_commands_use_a_local_address() {
        for (listened, used) in [
            ("0.0.0.0:8088", "127.0.0.1:8088"),
            ("[::]:8088", "[::1]:8088"),
            ("10.0.0.1:8088", "10.0.0.1:8088"),
            ("127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(from_here(listened.parse().unwrap()).to_string(), used);
        }
    }
}
