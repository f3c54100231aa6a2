//! What is assigned to names such as `password`, and passwords in URLs. Only the value is found: the name may stay.

use std::ops::Range;

/// How the names end behind which a secret stands, without hyphens, dots and underscores; and how long it is at least, in bytes.
const NAMES: &[(&str, usize)] = &[
    ("password", 6),
    ("passwd", 6),
    ("passwort", 6),
    ("passphrase", 6),
    ("pwd", 6),
    ("secret", 8),
    ("secretkey", 8),
    ("secretaccesskey", 8),
    ("apikey", 8),
    ("accesskey", 8),
    ("accountkey", 8),
    ("authkey", 8),
    ("encryptionkey", 8),
    ("signingkey", 8),
    ("privatekey", 8),
    ("token", 16),
];

const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 512;

pub(super) fn find(text: &str, add: &mut dyn FnMut(Range<usize>)) {
    let is_path = |at: usize| text[..at].ends_with(':') || text[at + 1..].starts_with(':');
    for (at, sign) in text.match_indices([':', '=']) {
        if !(sign == ":" && is_path(at))
            && let Some(least) = named(&text[..at])
            && let Some(value) = value(text, at + 1, least)
        {
            add(value);
        }
    }
    for (at, _) in text.match_indices("://") {
        if let Some(password) = of_url(text, at + 3) {
            add(password);
        }
    }
}

/// How long a secret is at least that is assigned to the name at the end of a text; nothing if that names none.
fn named(text: &str) -> Option<usize> {
    let text = up_to(text.strip_suffix(':').unwrap_or(text), 3);
    let text = text.strip_suffix(['"', '\'', '`']).unwrap_or(text);
    let length = text.bytes().rev().take(MAX_NAME).take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte)).count();
    let name: String = text[text.len() - length..].chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    NAMES.iter().filter(|(ending, _)| name.ends_with(ending)).map(|(_, least)| *least).min()
}

/// A text without the spaces at its end, of which there may be so many.
fn up_to(text: &str, spaces: usize) -> &str {
    let count = text.bytes().rev().take(spaces).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[..text.len() - count]
}

/// The secret that follows an assignment.
fn value(text: &str, from: usize, least: usize) -> Option<Range<usize>> {
    let rest = &text.as_bytes()[from..];
    // The second character of `=>`; of `:=` and `==` the first is none.
    let arrow = usize::from(rest.starts_with(b">"));
    let spaces = rest[arrow..].iter().take(4).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let begin = from + arrow + spaces;
    let rest = &text[begin..];
    let quote = rest.bytes().next().filter(|byte| b"\"'`".contains(byte));
    let begin = begin + usize::from(quote.is_some());
    let bytes = text.as_bytes()[begin..].iter().take(MAX_VALUE);
    let length = match quote {
        Some(quote) => bytes.take_while(|byte| **byte != quote && !byte.is_ascii_whitespace()).count(),
        None => bytes.take_while(|byte| !(byte.is_ascii_whitespace() || b",;)}]\"'`<>&|".contains(byte))).count(),
    };
    let is_closed = quote.is_none_or(|quote| text.as_bytes().get(begin + length) == Some(&quote));
    let value = text.get(begin..begin + length)?;
    let value = if quote.is_none() { value.trim_end_matches(['.', ':', '\\']) } else { value };
    (is_closed && is_secret(value, quote.is_some(), least)).then(|| begin..begin + value.len())
}

/// Whether a value is one that somebody chose or a program made: no word of a sentence, no code, and nothing that stands for a value.
fn is_secret(value: &str, is_quoted: bool, least: usize) -> bool {
    let has = |is: fn(&u8) -> bool| value.bytes().any(|byte| is(&byte));
    let stands_for_another =
        value.starts_with(['$', '{', '<', '[', '%', '/', '~', '@', '=', '*', '(']) || value.starts_with("./") || value.contains("${");
    let is_filler = value.bytes().all(|byte| Some(byte) == value.bytes().next());
    let enough = value.len() >= least.max(8) || (value.len() >= least && has(u8::is_ascii_digit));
    let looks_made = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && !is_code(value);
    enough && !stands_for_another && !is_filler && (is_quoted || looks_made)
}

/// `config.key1`, `key1()`, `Key::of1`.
fn is_code(value: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    value.contains(['(', '[', '{']) || value.contains("::") || (value.contains('.') && value.split('.').all(is_name))
}

/// The password in `scheme://user:password@host`.
fn of_url(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes()[from..].iter().take(MAX_VALUE);
    let length = bytes.take_while(|byte| !(byte.is_ascii_whitespace() || b"/?#\"'`<>".contains(byte))).count();
    let authority = text.get(from..from + length)?;
    let (user, _) = authority.rsplit_once('@')?;
    let (name, password) = user.split_once(':')?;
    let stands_for_another = password.is_empty() || password.starts_with(['$', '{', '<', '[', '*', '%']);
    (!stands_for_another).then(|| from + name.len() + 1..from + user.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::check;

    #[test]
    fn assigned_secrets_are_found() {
        check(
            find,
            &[
                ("password=hunter2", &["hunter2"]),
                ("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", &["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]),
                ("{\"api_key\": \"abcdefgh\", \"x\": 1}", &["abcdefgh"]),
                ("api-key : 'k3y-0f-s0me-s3rvice'", &["k3y-0f-s0me-s3rvice"]),
                ("clientSecret := `s3cr3t-value`;", &["s3cr3t-value"]),
                ("'db.password' => 'correct-horse'", &["correct-horse"]),
                ("The password: s3same77. Keep it.", &["s3same77"]),
                ("AccountKey=Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA==;Endpoint=x", &["Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA=="]),
                ("auth_token: a1b2c3d4e5f6a7b8", &["a1b2c3d4e5f6a7b8"]),
                ("?access_token=a1b2c3d4e5f6a7b8&x=1", &["a1b2c3d4e5f6a7b8"]),
                ("PASSWORD=\"pa55word\"\n", &["pa55word"]),
            ],
        );
    }

    #[test]
    fn passwords_in_urls_are_found() {
        check(
            find,
            &[
                ("postgres://app:s3cr3t@db.example:5432/main", &["s3cr3t"]),
                ("https://user:p@ss@example.com/", &["p@ss"]),
                ("https://example.com:8080/ ssh://git@example.com/a:b@c amqp://user:${PASSWORD}@mq", &[]),
            ],
        );
    }

    #[test]
    fn non_secrets_are_kept() {
        check(
            find,
            &[
                ("password: required, at least 8 characters", &[]),
                ("Your password: it is long. password = string", &[]),
                ("password == \"abcdefgh1\" and password != 'x'", &[]),
                ("password = get_password1() or config.password1 or Hash::of_1234", &[]),
                ("password=$PASSWORD1 password=${PASSWORD1} password='{{ vault.pw1 }}' password=<your-passw0rd>", &[]),
                ("\"password\": \"string\", \"password\": \"********\", \"password\": \"two words\"", &[]),
                ("token: the next word; token=42; tokens: 1234567890123456", &[]),
                ("passwordless: enabled123, monkey: banana123, key=value1234", &[]),
                ("secret=/run/secrets/key1234 pwd=~/src/x1234", &[]),
                ("std::password::Hash123 :: =", &[]),
            ],
        );
    }
}
