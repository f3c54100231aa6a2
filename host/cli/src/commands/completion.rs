//! `weir completion`: completion scripts of shells.

use anyhow::Result;
use clap::CommandFactory;

use crate::args::{Arguments, Completion, Shell};
use crate::output;

/// Prints the script of a shell.
pub(crate) fn run(command: &Completion) -> Result<()> {
    let shell = match command.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "weir", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(())
}
