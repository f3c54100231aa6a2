//! Finds what to redact in a text: one file for each kind.
//!
//! All of them make one pass over the text, and look around each position only as far as the longest match: time is linear in the length of
//! the text, whatever it contains.

mod card;
mod email;
mod iban;
#[cfg(feature = "ip")]
mod ip;
mod number;
mod phone;
mod private_key;
mod secret;
mod token;
mod words;

use crate::kind::Kind;
use crate::settings::Settings;
use std::ops::Range;

/// Something to redact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Find {
    /// Its bytes in the text.
    pub(crate) bytes: Range<usize>,
    /// Their kind.
    pub(crate) kind: Kind,
}

/// All finds of the requested kinds, in no particular order; they may overlap.
pub(crate) fn all(text: &str, settings: &Settings) -> Vec<Find> {
    let mut finds = Vec::new();
    for kind in Kind::ALL.iter().copied().filter(|kind| settings.has(*kind)) {
        let mut add = |bytes: Range<usize>| finds.push(Find { bytes, kind });
        match kind {
            Kind::PrivateKey => private_key::find(text, &mut add),
            Kind::Token => token::find(text, &mut add),
            Kind::Secret => secret::find(text, &mut add),
            Kind::Iban => iban::find(text, &mut add),
            Kind::Card => card::find(text, &mut add),
            Kind::Email => email::find(text, &mut add),
            Kind::Phone => phone::find(text, &settings.regions, &mut add),
            #[cfg(feature = "ip")]
            Kind::Ip => ip::find(text, &mut add),
        }
    }
    finds
}

/// For the tests of each kind: the finds in a text, in order.
#[cfg(test)]
fn found(text: &str, find: impl Fn(&str, &mut dyn FnMut(Range<usize>))) -> Vec<&str> {
    let mut bytes = Vec::new();
    find(text, &mut |found| bytes.push(found));
    bytes.into_iter().map(|bytes| &text[bytes]).collect()
}

/// Checks a table: each text with the expected finds.
#[cfg(test)]
fn check(find: impl Fn(&str, &mut dyn FnMut(Range<usize>)), table: &[(&str, &[&str])]) {
    for (text, expected) in table {
        assert_eq!(&found(text, &find), expected, "{text}");
    }
}
