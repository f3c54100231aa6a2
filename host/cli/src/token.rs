//! Tokens of the gateway: where `weir up` and the other commands get them from. They are never printed and never arguments, which every user of the
//! machine could read.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use weir_gateway::{Token, TokenLine, Tokens, read_tokens};

use crate::problem::{Exit, Problem};

/// The environment variable with the token.
const VARIABLE: &str = "WEIR_TOKEN";
/// Maximum size of a token file: larger than all tokens with a comment each.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// A token and its source.
#[derive(Clone)]
pub(crate) struct Secret {
    text: String,
    from: String,
}

impl Secret {
    /// The token in the environment, if set. An empty one is an error, since it would leave the gateway unprotected.
    pub(crate) fn of_environment() -> Result<Option<Self>, Problem> {
        match std::env::var_os(VARIABLE) {
            None => Ok(None),
            Some(value) => match value.into_string() {
                Ok(text) => Ok(Some(Secret { text: text.trim().to_owned(), from: VARIABLE.to_owned() })),
                Err(_) => Err(Problem::new(Exit::Usage, format!("{VARIABLE} is not UTF-8"))),
            },
        }
    }

    /// The token in a file; if there are several, the one with the largest scope.
    pub(crate) fn of_file(file: &Path) -> Result<Self, Problem> {
        Ok(TokenFile::read(file)?.widest())
    }

    /// The token in the form that the gateway checks.
    pub(crate) fn to_token(&self) -> Result<Token, Problem> {
        Token::new(&self.text)
            .map_err(|error| Problem::new(Exit::Usage, format!("the content of {} is not a valid gateway token", self.from)).because(error))
    }

    /// The token itself, to send or store it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The variable or the file.
    pub(crate) fn from(&self) -> &str {
        &self.from
    }
}

/// A file of tokens, each with its scope, in the format of `weir up`.
pub(crate) struct TokenFile {
    text: String,
    from: String,
}

impl TokenFile {
    /// Reads and checks a file.
    pub(crate) fn read(file: &Path) -> Result<Self, Problem> {
        let read = TokenFile { text: read(file)?, from: file.display().to_string() };
        match read_tokens(&read.text) {
            Ok(_) => Ok(read),
            Err(error) => Err(Problem::new(Exit::Usage, format!("the token file {} cannot be used", read.from)).because(error)),
        }
    }

    /// The tokens in the form that the gateway checks.
    pub(crate) fn tokens(&self) -> Tokens {
        Tokens::new(&self.lines())
    }

    /// Replaces the gateway's tokens with these.
    pub(crate) fn replace(&self, tokens: &Tokens) {
        tokens.replace(&self.lines());
    }

    /// Their number.
    pub(crate) fn count(&self) -> usize {
        self.lines().len()
    }

    /// The first one with the largest scope.
    pub(crate) fn widest(&self) -> Secret {
        let lines = self.lines();
        let widest = lines.iter().rev().max_by_key(|line| line.scope);
        Secret { text: widest.map_or_else(String::new, |line| line.text.to_owned()), from: self.from.clone() }
    }

    fn lines(&self) -> Vec<TokenLine<'_>> {
        read_tokens(&self.text).unwrap_or_default()
    }
}

/// The text of a file with arbitrary content.
fn read(file: &Path) -> Result<String, Problem> {
    let mut text = String::new();
    let read = File::open(file).and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| Problem::new(Exit::NoInput, format!("the token file {} cannot be read", file.display())).because(error))?;
    match text.len() as u64 > MAX_FILE_BYTES {
        true => Err(Problem::new(Exit::Usage, format!("the token file {} has more than {MAX_FILE_BYTES} bytes", file.display()))),
        false => Ok(text),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(of {})", self.from)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_from_a_file_and_is_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        let secret = Secret::of_file(&file).unwrap();
        assert_eq!(secret.text(), "0123456789abcdef");
        assert!(secret.to_token().is_ok());
        assert_eq!(format!("{secret:?}"), format!("Secret(of {})", file.display()));
        std::fs::write(&file, "\n").unwrap();
        let problem = Secret::of_file(&file).unwrap_err();
        assert_eq!((problem.exit, problem.to_string()), (Exit::Usage, format!("the token file {} cannot be used", file.display())));
        assert_eq!(Secret::of_file(&folder.path().join("none")).unwrap_err().exit, Exit::NoInput);
    }

    #[test]
    fn commands_on_the_data_folder_use_the_token_with_the_largest_scope() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let widest = |text: &str| {
            std::fs::write(&file, text).unwrap();
            TokenFile::read(&file).map(|read| (read.count(), read.widest().text().to_owned())).map_err(|problem| problem.exit)
        };
        let text = "read a-token-that-reads\noperate a-token-that-operates\noperate another-that-operates\n";
        assert_eq!(widest(text), Ok((3, "a-token-that-operates".to_owned())));
        assert_eq!(widest("0123456789abcdef"), Ok((1, "0123456789abcdef".to_owned())));
        assert_eq!(widest("write a-token-that-writes"), Err(Exit::Usage));
        assert_eq!(widest(&"#".repeat(70_000)), Err(Exit::Usage));
    }
}
