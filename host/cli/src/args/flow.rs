//! Arguments of `weir flow`, and names shared with other commands.

use clap::Subcommand;

/// `weir flow ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Flow {
    /// Start a flow from a blueprint
    Start {
        /// The blueprint's name
        blueprint: String,
        /// The id of the new flow
        flow: String,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
        /// A processor that an external program provides on the same broker; it needs no deployment. May be repeated
        #[arg(long = "external", value_name = "NAME", value_parser = parse_processor)]
        external: Vec<String>,
        /// A parameter's value; may be repeated
        #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = parse_parameter)]
        parameters: Vec<(String, String)>,
    },
    /// Stop a flow and delete its queues; while they hold messages, the flow keeps running and the error lists them
    Stop {
        /// The flow's id
        flow: String,
        /// Stop it in any case, and delete the messages that are still in its queues
        #[arg(long)]
        discard: bool,
    },
    /// List all flows
    List,
    /// Show one flow: its parameters, interfaces, processors with their components and states, queues and last errors
    #[command(visible_alias = "get")]
    Show {
        /// The flow's id
        flow: String,
    },
}

pub(super) fn parse_parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a parameter must be NAME=VALUE, for example -p size=400".to_owned()),
    }
}

/// Parses the name of a processor: the part before the colon in blueprints.
pub(super) fn parse_processor(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, file)) => Err(format!("give only the name and deploy the file first: weir deploy {name} {file}")),
        None => check_processor(text).map(|()| text.to_owned()),
    }
}

/// Checks that this is a valid processor name.
pub(super) fn check_processor(name: &str) -> Result<(), String> {
    match name.is_empty() || name.contains(':') || name.contains(char::is_control) {
        true => Err("a processor's name must not be empty or contain a colon, for example --processor splitter".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn processors_are_plain_names() {
        assert_eq!(parse_processor("splitter"), Ok("splitter".to_owned()));
        assert!(parse_processor("a=b.wasm").unwrap_err().contains("weir deploy a b.wasm"));
        for wrong in ["", "a:b", "a\n"] {
            assert!(parse_processor(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parameters_have_a_name() {
        assert_eq!(parse_parameter("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(parse_parameter("=b").is_err());
        assert!(parse_parameter("a").is_err());
    }
}
