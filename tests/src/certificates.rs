//! Certificates made for a single test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, date_time_ymd};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub pem: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// Makes an authority.
    ///
    /// # Panics
    /// Never on a machine with a source of random numbers.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, which clients trust.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names or addresses.
    ///
    /// # Panics
    /// If one of them is not valid.
    #[must_use]
    pub fn certificate(&self, names: &[&str]) -> Certificate {
        self.signed(params(names))
    }

    /// A certificate that was valid only in the year 2020.
    ///
    /// # Panics
    /// As [`Authority::certificate`].
    #[must_use]
    pub fn expired(&self, names: &[&str]) -> Certificate {
        let mut params = params(names);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.signed(params)
    }

    /// A certificate of a client, which is identified by its common name.
    ///
    /// # Panics
    /// As [`Authority::certificate`].
    #[must_use]
    pub fn client(&self, name: &str) -> Certificate {
        let mut params = params(&[name]);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        self.signed(params)
    }

    fn signed(&self, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        Certificate { pem: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

impl Certificate {
    /// Writes it to two files of a folder and replaces existing ones.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let files = (folder.join("gateway.pem"), folder.join("gateway-key.pem"));
        std::fs::write(&files.0, &self.pem).unwrap();
        std::fs::write(&files.1, &self.key).unwrap();
        files
    }
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}
