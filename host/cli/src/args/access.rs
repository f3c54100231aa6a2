//! Flags for access to the gateway.

use clap::Args;

/// Settings of the gateway's port that have flags.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AccessFlags {
    /// The address of the gateway; port 0 selects a free port. An address that other machines can reach requires a token, and TLS or
    /// --behind-proxy
    /// [env: WEIR_LISTEN] [default: 127.0.0.1:8088]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// A file with the tokens that clients must present: a line `SCOPE TOKEN` for each, where SCOPE is read, operate or deploy; a token
    /// alone permits everything. Without it, the token in WEIR_TOKEN, otherwise none. Reread on SIGHUP. Commands on the same data folder
    /// find the token there [env: WEIR_GATEWAY_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<String>,
    /// Serve TLS with the certificate in this PEM file, followed by those of intermediate CAs; reread on SIGHUP [env: WEIR_GATEWAY_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// The key of that certificate, a PEM file without a passphrase; reread on SIGHUP [env: WEIR_GATEWAY_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Listen on any address without TLS, because a proxy in front of the gateway terminates it; a token is still required
    /// [env: WEIR_GATEWAY_BEHIND_PROXY=yes]
    #[arg(long)]
    pub(crate) behind_proxy: bool,
}

impl AccessFlags {
    /// For each flag: its name, the setting's name, and the value if given.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &'static str, Option<&str>)> {
        let texts = [
            ("--listen", "listen", &self.listen),
            ("--token-file", "gateway.token-file", &self.token_file),
            ("--tls-cert", "gateway.tls-cert", &self.tls_cert),
            ("--tls-key", "gateway.tls-key", &self.tls_key),
        ];
        let proxy = ("--behind-proxy", "gateway.behind-proxy", self.behind_proxy.then_some("yes"));
        texts.into_iter().map(|(flag, name, value)| (flag, name, value.as_deref())).chain([proxy])
    }
}
