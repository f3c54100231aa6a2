//! Keys and tokens that are recognized by their form.

use super::words::{after, before, is_word, word_starts};
use std::ops::Range;

/// The characters that the rest of a token consists of.
#[derive(Clone, Copy)]
enum Made {
    /// Letters and digits.
    Alphanumeric,
    /// Upper-case letters and digits.
    Upper,
    /// Lower-case hexadecimal digits.
    Hex,
    /// Letters, digits, `-` and `_`.
    Url,
    /// The same, and dots.
    Dotted,
}

/// The longest token without a fixed length, in bytes; JWTs get long.
const MAX_BYTES: usize = 16 << 10;

const ANY: usize = MAX_BYTES;

/// The length of the shortest of them; most words are excluded by that.
const MIN_BYTES: usize = 20;

/// The prefix of tokens, the characters after it, and the minimum and maximum number of these.
const FORMS: &[(&str, Made, usize, usize)] = &[
    // AWS access keys: of users, sessions, bearers and contexts.
    ("AKIA", Made::Upper, 16, 16),
    ("ASIA", Made::Upper, 16, 16),
    ("ABIA", Made::Upper, 16, 16),
    ("ACCA", Made::Upper, 16, 16),
    // GitHub
    ("ghp_", Made::Alphanumeric, 36, 255),
    ("gho_", Made::Alphanumeric, 36, 255),
    ("ghu_", Made::Alphanumeric, 36, 255),
    ("ghs_", Made::Alphanumeric, 36, 255),
    ("ghr_", Made::Alphanumeric, 36, 255),
    ("github_pat_", Made::Url, 36, 255),
    // GitLab
    ("glpat-", Made::Dotted, 20, 255),
    ("gldt-", Made::Dotted, 20, 255),
    ("glrt-", Made::Dotted, 20, 255),
    // Slack
    ("xoxb-", Made::Url, 20, 255),
    ("xoxp-", Made::Url, 20, 255),
    ("xoxa-", Made::Url, 20, 255),
    ("xoxr-", Made::Url, 20, 255),
    ("xoxs-", Made::Url, 20, 255),
    ("xapp-", Made::Url, 20, 255),
    // Stripe
    ("sk_live_", Made::Alphanumeric, 16, 255),
    ("sk_test_", Made::Alphanumeric, 16, 255),
    ("rk_live_", Made::Alphanumeric, 16, 255),
    ("rk_test_", Made::Alphanumeric, 16, 255),
    ("whsec_", Made::Alphanumeric, 24, 255),
    // Google: API keys, OAuth
    ("AIza", Made::Url, 35, 35),
    ("ya29.", Made::Url, 20, 2048),
    ("GOCSPX-", Made::Url, 28, 28),
    // Models
    ("sk-ant-", Made::Url, 24, 255),
    ("sk-proj-", Made::Url, 24, 255),
    ("sk-svcacct-", Made::Url, 24, 255),
    ("sk-", Made::Alphanumeric, 40, 255),
    ("hf_", Made::Alphanumeric, 34, 34),
    // Registries
    ("npm_", Made::Alphanumeric, 36, 36),
    ("pypi-AgE", Made::Url, 40, 1024),
    ("dckr_pat_", Made::Url, 24, 64),
    // Others: DigitalOcean, Shopify, SendGrid, Vault, age
    ("dop_v1_", Made::Hex, 64, 64),
    ("shpat_", Made::Hex, 32, 32),
    ("shpss_", Made::Hex, 32, 32),
    ("SG.", Made::Dotted, 60, 80),
    ("hvs.", Made::Url, 24, 255),
    ("AGE-SECRET-KEY-1", Made::Upper, 58, 58),
];

pub(super) fn find(text: &str, add: &mut dyn FnMut(Range<usize>)) {
    let mut done = 0;
    for start in word_starts(text) {
        if start < done {
            continue;
        }
        let found = match text.as_bytes()[start] {
            _ if Made::Dotted.count(&text.as_bytes()[start..], MIN_BYTES) == MIN_BYTES => formed(text, start).or_else(|| jwt(text, start)),
            b'b' | b'B' => authorization(text, start),
            _ => None,
        };
        if let Some(found) = found {
            done = found.end;
            add(found);
        }
    }
}

fn formed(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text.as_bytes()[start..];
    let ends = FORMS.iter().filter(|(prefix, ..)| rest.starts_with(prefix.as_bytes())).filter_map(|(prefix, made, from, to)| {
        let count = made.count(&rest[prefix.len()..], *to);
        let end = start + prefix.len() + count;
        (count >= *from && !after(text, end).is_some_and(is_word)).then_some(end)
    });
    ends.max().map(|end| start..end)
}

/// A JSON Web Token: three parts in base64, the first two of which are JSON objects.
fn jwt(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text.as_bytes()[start..];
    // Not within text of the same characters: it would be scanned again from each of them.
    if !rest.starts_with(b"eyJ") || before(text, start) == Some('-') {
        return None;
    }
    let mut end = 0;
    for (part, least) in [10, 4, 10].into_iter().enumerate() {
        let from = end + usize::from(part > 0);
        let count = Made::Url.count(rest.get(from..)?, ANY);
        if count < least || (part > 0 && rest[end] != b'.') || (part == 1 && !rest[from..].starts_with(b"eyJ")) {
            return None;
        }
        end = from + count;
    }
    Some(start..start + end)
}

/// The text after `Bearer` or `Basic`, without that word: a token contains digits, which distinguishes it from the next word of a sentence.
fn authorization(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text.as_bytes()[start..];
    let word =
        ["bearer ", "basic "].iter().find(|word| rest.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes())))?;
    let token = &rest[word.len()..];
    let count = token.iter().take(ANY).take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte)).count();
    let token = token[..count].strip_suffix(b".").unwrap_or(&token[..count]);
    let from = start + word.len();
    (token.len() >= 16 && token.iter().any(u8::is_ascii_digit)).then_some(from..from + token.len())
}

impl Made {
    /// The number of such characters at the beginning of a text, at most `most`.
    fn count(self, text: &[u8], most: usize) -> usize {
        let fits = |byte: &&u8| match self {
            Made::Alphanumeric => byte.is_ascii_alphanumeric(),
            Made::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Made::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Made::Url => byte.is_ascii_alphanumeric() || b"-_".contains(byte),
            Made::Dotted => byte.is_ascii_alphanumeric() || b"-_.".contains(byte),
        };
        let count = text.iter().take(most).take_while(fits).count();
        // A full stop ends the sentence, not the token.
        count - text[..count].iter().rev().take_while(|byte| **byte == b'.').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::{check, found};

    /// Tokens are assembled here, so that scanners of this repository do not find any.
    fn token(prefix: &str, count: usize) -> String {
        prefix.chars().chain("a1B2c3D4e5".chars().cycle().take(count)).collect()
    }

    #[test]
    fn tokens_of_every_form_are_found() {
        for (prefix, made, from, _) in FORMS {
            let rest: String = match made {
                Made::Upper => "A2B3".chars().cycle().take(*from).collect(),
                Made::Hex => "a2b3".chars().cycle().take(*from).collect(),
                _ => "a2B3".chars().cycle().take(*from).collect(),
            };
            let token = format!("{prefix}{rest}");
            for text in [format!("key={token}\n"), format!("\"{token}\", and so on"), format!("It is {token}.")] {
                assert_eq!(found(&text, find), [token.as_str()], "{text}");
            }
            assert_eq!(
                found(&format!("x{token} {}", &token[..token.len() - 1]), find),
                [""; 0],
                "{token} is too short or inside of a word"
            );
        }
    }

    #[test]
    fn web_tokens_are_found() {
        let jwt = format!("{}.{}.{}", token("eyJ", 30), token("eyJ", 40), token("", 43));
        assert_eq!(found(&format!("Authorization: Bearer {jwt}"), find), [jwt.as_str()]);
        assert_eq!(found(&format!("cookie={jwt}; x"), find), [jwt.as_str()]);
        let bearer = token("", 32);
        assert_eq!(found(&format!("curl -H 'Authorization: bearer {bearer}'"), find), [bearer.as_str()]);
    }

    #[test]
    fn non_tokens_are_kept() {
        check(
            find,
            &[
                ("AKIA is what keys of AWS begin with, as AKIA12; ghp_ those of GitHub; eyJ.eyJ.x", &[]),
                ("Bearer tokens-are-sent-in-the-header and basic authentication-is-older", &[]),
                ("The bearer of this, basic rules; sk-learn, sk-", &[]),
                ("npm_config_registry=https://registry.example", &[]),
                ("ASIATISCHE KUECHE, AKIAPOLAAU", &[]),
                ("d41d8cd98f00b204e9800998ecf8427e, 1b4f0e98-0000-4000-8000-000000000000", &[]),
            ],
        );
    }
}
