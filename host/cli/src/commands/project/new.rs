//! `weir new`: creates a project.

use anyhow::Result;
use weir_project::{Language, MANIFEST_NAME, make};

use super::problem;
use crate::args::New;
use crate::output::{self, Format};

/// Runs the command.
pub(crate) fn run(format: Format, command: &New) -> Result<()> {
    let New { lang, folder } = command;
    make(lang, folder).map_err(problem)?;
    let Language { name, title, .. } = lang;
    match format {
        Format::Json => output::json(&serde_json::json!({"folder": folder, "language": name}))?,
        Format::Text => {
            output::line(&format!("{} created: a processor in {title}, with {MANIFEST_NAME} and fixtures in tests/", folder.display()))?;
            output::line(&format!("\n  cd {}", folder.display()))?;
            output::line("  weir build    build the component")?;
            output::line("  weir test     run the fixtures against it")?;
        }
    }
    Ok(())
}
