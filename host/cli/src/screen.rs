//! Output that is refreshed: in place on a terminal, otherwise appended.

use std::io::{self, IsTerminal, Write};

use terminal_size::{Height, Width};

/// The width if output is not a terminal.
const PLAIN_WIDTH: usize = 80;
const TOP_LEFT: &str = "\u{1b}[H";
const CLEAR: &str = "\u{1b}[2J";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// The screen.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    used: bool,
}

impl Screen {
    /// Shows the result of `text` for a width and, on a terminal, a height.
    pub(crate) fn show(&mut self, text: impl FnOnce(usize, Option<usize>) -> String) -> io::Result<()> {
        let first = !std::mem::replace(&mut self.used, true);
        // A dumb terminal cannot move the cursor to the top.
        if !io::stdout().is_terminal() || std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
            let gap = if first { "" } else { "\n" };
            write!(anstream::stdout().lock(), "{gap}{}", text(PLAIN_WIDTH, None))?;
            return io::stdout().flush();
        }
        let (Width(width), Height(height)) = terminal_size::terminal_size().unwrap_or((Width(80), Height(24)));
        let lines = fitting(&text(width.into(), Some(height.into())), height.into());
        // Control sequences bypass the stream that strips colours from the text.
        io::stdout().write_all(if first { CLEAR } else { "" }.as_bytes())?;
        io::stdout().write_all(TOP_LEFT.as_bytes())?;
        for line in lines {
            write!(anstream::stdout().lock(), "{line}")?;
            io::stdout().write_all(CLEAR_LINE.as_bytes())?;
            io::stdout().write_all(b"\n")?;
        }
        io::stdout().write_all(CLEAR_BELOW.as_bytes())?;
        io::stdout().flush()
    }
}

/// The lines that fit above the cursor's line.
fn fitting(text: &str, height: usize) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let room = height.saturating_sub(1).max(1);
    if lines.len() > room {
        let more_count = lines.len() - (room - 1);
        lines.truncate(room - 1);
        lines.push(format!("... {more_count} more lines: enlarge the window to see them"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omitted_rows_are_counted() {
        assert_eq!(fitting("a\nb", 3), ["a", "b"]);
        assert_eq!(fitting("a\nb\nc\nd", 4), ["a", "b", "... 2 more lines: enlarge the window to see them"]);
        assert_eq!(fitting("a\nb", 0), ["... 2 more lines: enlarge the window to see them"]);
    }
}
