//! The kinds of finds.

use std::fmt;

/// A kind of data that is redacted. If two finds overlap, the longer one names both; on a tie, the one listed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A private key in PEM or a PGP block.
    PrivateKey,
    /// A key or token recognized by its form, such as those of AWS or GitHub, and JWTs.
    Token,
    /// A value assigned to a name such as `password` or `api_key`, and passwords in URLs.
    Secret,
    /// An IBAN whose country, form and checksum are right.
    Iban,
    /// A number of a payment card whose issuer, length and checksum are right.
    Card,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// An IPv4 or IPv6 address.
    #[cfg(feature = "ip")]
    Ip,
}

impl Kind {
    /// All kinds, in order.
    pub const ALL: &[Kind] = &[
        Kind::PrivateKey,
        Kind::Token,
        Kind::Secret,
        Kind::Iban,
        Kind::Card,
        Kind::Email,
        Kind::Phone,
        #[cfg(feature = "ip")]
        Kind::Ip,
    ];

    /// The name in parameters and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::PrivateKey => "private-key",
            Kind::Token => "token",
            Kind::Secret => "secret",
            Kind::Iban => "iban",
            Kind::Card => "card",
            Kind::Email => "email",
            Kind::Phone => "phone",
            #[cfg(feature = "ip")]
            Kind::Ip => "ip",
        }
    }

    /// Whether the last four characters may stay: they distinguish numbers without revealing them, but would reveal part of a password.
    #[must_use]
    pub fn may_keep_last_4(self) -> bool {
        matches!(self, Kind::Iban | Kind::Card | Kind::Phone)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
