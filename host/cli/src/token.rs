//! The token that opens the gateway: where `weir up` and the other commands get it from. It is never printed, and never an argument,
//! which every user of the machine could read.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use weir_gateway::Token;

use crate::problem::{Exit, Problem};

/// The environment variable with the token.
const VARIABLE: &str = "WEIR_TOKEN";
/// What is read of a file, which may be anything.
const READ_BYTES: u64 = 64 << 10;

/// A token's text, and where it is from.
#[derive(Clone)]
pub(crate) struct Secret {
    text: String,
    from: String,
}

impl Secret {
    /// That of `weir up`: of the file if one is named, else of the environment; none where neither is.
    pub(crate) fn of_up(file: Option<&Path>) -> Result<Option<Self>, Problem> {
        match file {
            Some(file) => Self::of_file(file).map(Some),
            None => Self::of_environment(),
        }
    }

    /// That of the environment, if it is there. An empty one is an error: whoever sets one wants to be protected by it.
    pub(crate) fn of_environment() -> Result<Option<Self>, Problem> {
        match std::env::var_os(VARIABLE) {
            None => Ok(None),
            Some(value) => match value.into_string() {
                Ok(text) => Ok(Some(Secret { text: text.trim().to_owned(), from: VARIABLE.to_owned() })),
                Err(_) => Err(Problem::new(Exit::Usage, format!("{VARIABLE} is no text"))),
            },
        }
    }

    /// That of a file, without what is white around it.
    pub(crate) fn of_file(file: &Path) -> Result<Self, Problem> {
        let mut text = String::new();
        let read = File::open(file).and_then(|opened| opened.take(READ_BYTES).read_to_string(&mut text));
        read.map_err(|error| Problem::new(Exit::NoInput, format!("the token file {} cannot be read", file.display())).because(error))?;
        Ok(Secret { text: text.trim().to_owned(), from: file.display().to_string() })
    }

    /// The same as the gateway checks it.
    pub(crate) fn to_token(&self) -> Result<Token, Problem> {
        Token::new(&self.text)
            .map_err(|error| Problem::new(Exit::Usage, format!("what is in {} cannot be the gateway's token", self.from)).because(error))
    }

    /// The text itself, to be sent or kept.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The variable or the file.
    pub(crate) fn from(&self) -> &str {
        &self.from
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
        let secret = Secret::of_up(Some(&file)).unwrap().unwrap();
        assert_eq!(secret.text(), "0123456789abcdef");
        assert!(secret.to_token().is_ok());
        assert_eq!(format!("{secret:?}"), format!("Secret(of {})", file.display()));
        std::fs::write(&file, "\n").unwrap();
        let problem = Secret::of_file(&file).unwrap().to_token().unwrap_err();
        assert_eq!(problem.to_string(), format!("what is in {} cannot be the gateway's token", file.display()));
        assert_eq!(Secret::of_file(&folder.path().join("none")).unwrap_err().exit, Exit::NoInput);
    }
}
