//! Prints the error that a command ended with.

use anstyle::{AnsiColor, Style};

use crate::logging;
use crate::problem::{Exit, Problem};

/// Prints an error with its causes and the next step, and returns the exit code.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> u8 {
    let problem = error.chain().find_map(|cause| cause.downcast_ref::<Problem>());
    let exit = problem.map_or(Exit::Failed, |problem| problem.exit);
    // The innermost problem may have the best next step.
    let next = error.chain().filter_map(|cause| cause.downcast_ref::<Problem>()).find_map(|problem| problem.next_step());
    let details = problem.map_or(&[][..], Problem::detail_pairs);
    logging::print(&if json { as_json(error, details, next, exit) } else { as_text(error, details, next) });
    exit as u8
}

fn as_text(error: &anyhow::Error, details: &[(String, serde_json::Value)], next: Option<&str>) -> String {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let dim = Style::new().dimmed();
    let green = Style::new().bold().fg_color(Some(AnsiColor::Green.into()));
    let mut lines = vec![format!("{red}error:{red:#} {error}")];
    lines.extend(details.iter().map(|(detail, _)| format!("  {red}-{red:#} {detail}")));
    lines.extend(error.chain().skip(1).map(|cause| format!("  {dim}because:{dim:#} {cause}")));
    lines.extend(next.map(|next| format!("  {green}next:{green:#} {next}")));
    lines.join("\n") + "\n"
}

fn as_json(error: &anyhow::Error, details: &[(String, serde_json::Value)], next: Option<&str>, exit: Exit) -> String {
    let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
    let mut text = serde_json::json!({"error": {"message": error.to_string(), "causes": causes, "next": next, "exit": exit as u8}});
    if !details.is_empty() {
        text["error"]["details"] = details.iter().map(|(_, detail)| detail.clone()).collect();
    }
    format!("{text}\n")
}
