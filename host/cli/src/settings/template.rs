//! The settings file that `weir init` writes: every setting with its default, commented out and explained.

use std::fmt::Write as _;

use super::definition::Definition;
use super::list;

const HEAD: &str = "\
# Settings of `weir up`. Every line that begins with `# name =` shows a default: remove the `# ` and change the value.
# Environment variables WEIR_... override this file, and flags of `weir up` override both.
# Times are written like \"500ms\", \"30s\", \"2m\" or \"1h\", sizes like \"64KiB\", \"16MiB\" or \"1GiB\".
# `weir settings show` lists every value and its source. Changes take effect at the next start.
";
/// The maximum line width.
const WIDTH: usize = 100;

/// The text of the file.
pub(crate) fn template() -> String {
    let mut text = HEAD.to_owned();
    let mut section = None;
    for definition in list::all() {
        if definition.section() != section {
            section = definition.section();
            let name = section.unwrap_or_default();
            let _ = write!(text, "\n# {}\n[{name}]\n", list::about(name));
        }
        let _ = write!(text, "\n{}", explained(definition));
    }
    text
}

fn explained(definition: &Definition) -> String {
    let Definition { doc, why, kind, .. } = definition;
    let others = match definition.flag {
        Some(flag) => format!("{} or {flag}", definition.variable()),
        None => definition.variable(),
    };
    let more = format!("Allowed: {}. Reason for this default: {why}. Also set by {others}.", kind.allowed());
    let [doc, more] = [format!("{doc}."), more].map(|words| crate::output::wrapped(&words, "## ", WIDTH));
    // Without a default the line is not a setting until a value is filled in.
    let value = if definition.has_default() { format!(" {}", definition.default().to_toml()) } else { String::new() };
    format!("{doc}\n{more}\n# {} ={value}\n", definition.key())
}
