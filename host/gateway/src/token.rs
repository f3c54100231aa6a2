//! A token of the gateway.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Shorter tokens could be guessed.
const MIN_LENGTH: usize = 16;
/// Longer tokens exceed some proxies' limit on headers.
const MAX_LENGTH: usize = 1024;

/// A token that callers must present. Only its digest is kept, so that neither a log nor a memory dump reveals it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    digest: [u8; 32],
}

/// Why a string is not a valid token. The string itself is never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadToken {
    /// Too short or too long.
    #[error("a token must have {MIN_LENGTH} to {MAX_LENGTH} characters, this one has {count}; generate one with `openssl rand -hex 32`")]
    Length {
        /// Its characters.
        count: usize,
    },
    /// A character that is not allowed unescaped in headers or URLs.
    #[error("a token may contain only letters, digits and the characters - . _ ~ + / =; character {position} is not one of them")]
    Character {
        /// Its position, from 1.
        position: usize,
    },
}

impl Token {
    /// Parses a token.
    ///
    /// # Errors
    /// [`BadToken`] if it is too short to be secure, too long, or has a character that is not allowed.
    pub fn new(text: &str) -> Result<Self, BadToken> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        if let Some(at) = text.chars().position(|c| !allowed(c)) {
            return Err(BadToken::Character { position: at + 1 });
        }
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&text.len()) {
            return Err(BadToken::Length { count: text.len() });
        }
        Ok(Token { digest: digest(text.as_bytes()) })
    }

    /// Whether a caller presented this token. The comparison of the digests takes constant time.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        self.digest.ct_eq(&digest(shown)).into()
    }
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_the_complete_token_matches() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", " 0123456789abcdef"] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        assert_eq!(format!("{:?}", Token::new("a-very-secret-token").unwrap()), "Token(not shown)");
        assert!(!Token::new("secret").unwrap_err().to_string().contains("secret"));
        assert_eq!(Token::new("a very secret token"), Err(BadToken::Character { position: 2 }));
        assert_eq!(Token::new(""), Err(BadToken::Length { count: 0 }));
    }
}
