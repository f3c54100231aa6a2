//! Tokens that expire.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// The decoded signing key of all nodes.
const SECRET: &[u8; 32] = b"weir-tests-only-weir-tests-only!";
const BLOCK_BYTES: usize = 64;

/// A token of a role that expires after a while.
///
/// # Panics
/// Never.
#[must_use]
pub fn token_until(role: &str, time: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = (now + time).as_secs();
    let head = format!("{}.{}", url_base64(br#"{"alg":"HS256"}"#), url_base64(format!(r#"{{"sub":"{role}","exp":{end}}}"#).as_bytes()));
    let signature = url_base64(&hmac(head.as_bytes()));
    format!("{head}.{signature}")
}

fn hmac(text: &[u8]) -> Vec<u8> {
    let padded = |with: u8| {
        let mut block = [with; BLOCK_BYTES];
        for (byte, secret) in block.iter_mut().zip(SECRET) {
            *byte ^= secret;
        }
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

fn url_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().chain([&0; 2]).take(3).fold(0_usize, |number, byte| (number << 8) | usize::from(*byte));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(number >> (18 - 6 * digit)) & 63]));
        }
    }
    text
}
