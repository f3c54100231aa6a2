//! The tokens of a gateway, each with its scope: parses token files, and checks requests. The tokens can be replaced while the gateway runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::scope::{NotAScope, Scope};
use crate::token::{BadToken, Token};

/// More would not be tokens of programs and teams but accounts, which a proxy manages better; every request is compared with each.
const MAX_COUNT: usize = 100;

/// The valid tokens. Cloning is cheap, and replacing them applies to all clones.
#[derive(Clone)]
pub struct Tokens(Arc<RwLock<Vec<(Scope, Token)>>>);

/// A line of a token file.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenLine<'a> {
    /// The scope of the token.
    pub scope: Scope,
    /// The token itself, to check or send it; never show it.
    pub text: &'a str,
    token: Token,
}

/// Why a text is not a list of tokens. The tokens are never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTokens {
    /// The line has more than a scope and a token.
    #[error("line {line}: has {count} words; a line must be `SCOPE TOKEN`, or only a token, which permits everything")]
    Words {
        /// Its number, from 1.
        line: usize,
        /// Its words.
        count: usize,
    },
    /// The line does not begin with a scope.
    #[error("line {line}: its first word {NotAScope}")]
    Scope {
        /// Its number, from 1.
        line: usize,
    },
    /// The line's token is invalid.
    #[error("line {line}: {problem}")]
    Token {
        /// Its number, from 1.
        line: usize,
        /// Why.
        problem: BadToken,
    },
    /// Two lines have the same token.
    #[error("lines {first} and {second} have the same token: use a different one in each line")]
    Twice {
        /// The number of the first, from 1.
        first: usize,
        /// That of the other.
        second: usize,
    },
    /// There are too many tokens.
    #[error("it has more than {MAX_COUNT} tokens")]
    TooMany,
    /// There is no token.
    #[error(
        "it contains no token: write a line `SCOPE TOKEN` with the scope read, operate or deploy; generate a token with `openssl rand -hex \
             32`"
    )]
    None,
}

/// Parses a token file: per line `SCOPE TOKEN`, or only a token, which has all scopes. Blank lines and those that begin with `#` are skipped.
///
/// # Errors
/// [`BadTokens`], with the line.
pub fn read_tokens(text: &str) -> Result<Vec<TokenLine<'_>>, BadTokens> {
    let mut read: Vec<(usize, TokenLine<'_>)> = Vec::new();
    let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    for (number, line) in lines {
        let found = read_line(number, line)?;
        if let Some((first, _)) = read.iter().find(|(_, other)| other.token == found.token) {
            return Err(BadTokens::Twice { first: *first, second: number });
        }
        if read.len() == MAX_COUNT {
            return Err(BadTokens::TooMany);
        }
        read.push((number, found));
    }
    match read.is_empty() {
        true => Err(BadTokens::None),
        false => Ok(read.into_iter().map(|(_, line)| line).collect()),
    }
}

fn read_line(number: usize, line: &str) -> Result<TokenLine<'_>, BadTokens> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (scope, text) = match words[..] {
        [text] => (Scope::Deploy, text),
        [scope, text] => (scope.parse().map_err(|NotAScope| BadTokens::Scope { line: number })?, text),
        _ => return Err(BadTokens::Words { line: number, count: words.len() }),
    };
    let token = Token::new(text).map_err(|problem| BadTokens::Token { line: number, problem })?;
    Ok(TokenLine { scope, text, token })
}

impl Tokens {
    /// The tokens of these lines.
    pub fn new(lines: &[TokenLine<'_>]) -> Self {
        Tokens(Arc::new(RwLock::new(listed(lines))))
    }

    /// One token that permits everything.
    pub fn one(token: Token) -> Self {
        Tokens(Arc::new(RwLock::new(vec![(Scope::Deploy, token)])))
    }

    /// Replaces the tokens for new requests; admitted ones continue.
    pub fn replace(&self, lines: &[TokenLine<'_>]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = listed(lines);
    }

    /// The scope of a token that a caller presented; `None` if it is not valid. The time that this takes does not depend on the tokens.
    pub(crate) fn scope_of(&self, shown: &[u8]) -> Option<Scope> {
        let tokens = self.0.read().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().fold(None, |found, (scope, token)| if token.is(shown) { Some(*scope) } else { found })
    }
}

fn listed(lines: &[TokenLine<'_>]) -> Vec<(Scope, Token)> {
    lines.iter().map(|line| (line.scope, line.token.clone())).collect()
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(not shown)")
    }
}

impl fmt::Debug for TokenLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenLine({}, not shown)", self.scope)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ONE: &str = "the-first-token-of-some";
    const TWO: &str = "the-second-token-of-some";

    #[test]
    fn each_line_is_a_scope_and_a_token_and_a_bare_token_has_all_scopes() {
        let text = format!("# tokens\n\nread {ONE}\r\n \toperate\t{TWO} \ndeploy the-third-token-of-some\nand-a-fourth-token");
        let lines = read_tokens(&text).unwrap();
        let scopes: Vec<Scope> = lines.iter().map(|line| line.scope).collect();
        assert_eq!(scopes, [Scope::Read, Scope::Operate, Scope::Deploy, Scope::Deploy]);
        let tokens = Tokens::new(&lines);
        assert_eq!((tokens.scope_of(ONE.as_bytes()), tokens.scope_of(TWO.as_bytes())), (Some(Scope::Read), Some(Scope::Operate)));
        assert_eq!(tokens.scope_of(b"read"), None);
        tokens.clone().replace(&read_tokens(TWO).unwrap());
        assert_eq!((tokens.scope_of(ONE.as_bytes()), tokens.scope_of(TWO.as_bytes())), (None, Some(Scope::Deploy)));
    }

    #[test]
    fn token_file_errors_are_reported_with_the_line_and_without_the_token() {
        for (text, problem) in [
            ("".to_owned(), "it contains no token"),
            ("# only a comment\n\n".to_owned(), "it contains no token"),
            (format!("\nwrite {ONE}"), "line 2: its first word is not a scope: use read, operate or deploy"),
            (format!("{ONE} {TWO}"), "line 1: its first word is not a scope"),
            (format!("read {ONE} now"), "line 1: has 3 words"),
            (format!("read {ONE}\ndeploy short"), "line 2: a token must have 16 to 1024 characters, this one has 5"),
            (format!("read {ONE}!"), "line 1: a token may contain only letters"),
            (format!("read {ONE}\n\ndeploy {ONE}"), "lines 1 and 3 have the same token"),
        ] {
            let found = read_tokens(&text).unwrap_err().to_string();
            assert!(found.starts_with(problem), "{found}");
            assert!(!found.contains(ONE) && !found.contains(TWO), "{found}");
        }
        let many: String = (0..=MAX_COUNT).map(|number| format!("read a-token-of-many-{number}\n")).collect();
        assert_eq!(read_tokens(&many).unwrap_err(), BadTokens::TooMany);
        let lines = format!("operate {ONE}");
        assert!(!format!("{:?}", read_tokens(&lines).unwrap()).contains(ONE));
    }
}
