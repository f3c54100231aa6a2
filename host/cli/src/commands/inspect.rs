//! `weir inspect`: describes a component and its requirements, from its file alone.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use weir_config::records::{
    ComponentLimits, ConsumerSpec, Descriptor, GivenLimits, GrantableLimits, ParameterKind, ParameterSpec, ProducerSpec, RequestSpec,
    RequestedLimits,
};
use weir_runtime::{Checker, HostSettings, Inspected, inspect};

use crate::args::Inspect;
use crate::input::read_input;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};

/// Width and indentation of the text, in columns.
const WIDTH: usize = 96;
const INDENT: usize = 12;

/// Runs the command. A component that this Weir cannot run is still shown, but is an error.
pub(crate) fn run(format: Format, command: &Inspect) -> Result<()> {
    let file = if command.file == Path::new("-") { "standard input".to_owned() } else { command.file.display().to_string() };
    let bytes = read_input(&command.file)?;
    let problem = |fault| Problem::new(Exit::BadInput, format!("{file} is not a component that this Weir can run")).because(fault);
    let inspected = inspect(&bytes).map_err(problem)?;
    match format {
        Format::Json => output::json(&as_json(&inspected))?,
        Format::Text => print(&inspected)?,
    }
    let checker = Checker::new(HostSettings::instances_for_this_machine())
        .map_err(|error| Problem::new(Exit::Failed, "the check of components cannot start").because(error))?;
    let limits_of = |inspected: &Inspected| {
        let granted = inspected.descriptor.limits.granted(&GivenLimits::default(), &GrantableLimits::default());
        granted.map(|granted| granted.over(&ComponentLimits::default())).map_err(|error| error.to_string())
    };
    let checked = checker.check_under(&bytes, limits_of).map_err(problem)?;
    if format == Format::Text {
        let target = match (&checked.descriptor.name, &checked.descriptor.version) {
            (Some(_), Some(_)) => String::new(),
            (Some(name), None) => format!(" {name}@VERSION"),
            (None, _) => " NAME@VERSION".to_owned(),
        };
        output::line(&format!("\nThis Weir can run it: weir deploy{target} {file}"))?;
    }
    Ok(())
}

fn as_json(inspected: &Inspected) -> serde_json::Value {
    let Inspected { digest, size_bytes, world, exports, imports, unserved, descriptor, faults } = inspected;
    json!({
        "digest": digest,
        "size-bytes": size_bytes,
        "world": world,
        "exports": exports,
        "imports": imports,
        "unserved": unserved,
        "descriptor": descriptor,
        "faults": faults,
        "limits": ComponentLimits::default(),
    })
}

fn print(inspected: &Inspected) -> std::io::Result<()> {
    let descriptor = &inspected.descriptor;
    let version = descriptor.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    output::heading(&format!("{}{version}", descriptor.name.as_deref().unwrap_or("a component without a name")))?;
    if !descriptor.description.is_empty() {
        output::line(&wrapped(&descriptor.description, 0))?;
    }
    output::line("")?;
    facts(inspected)?;
    if !descriptor.parameters.is_empty() {
        output::line("")?;
        output::heading("PARAMETERS")?;
        let indent = descriptor.parameters.iter().map(|spec| spec.name.chars().count() + 2).max().unwrap_or(0).clamp(INDENT, 2 * INDENT);
        for spec in &descriptor.parameters {
            fact(&spec.name, indent, vec![parameter(spec)])?;
        }
    }
    Ok(())
}

fn facts(inspected: &Inspected) -> std::io::Result<()> {
    let Descriptor { consumers, producers, requests, config_types, grants, .. } = &inspected.descriptor;
    let fact = |name, values| fact(name, INDENT, values);
    fact("consumes", consumers.iter().map(|spec| consumer(spec, &inspected.descriptor)).collect())?;
    fact("produces", producers.iter().map(producer).collect())?;
    fact("requests", requests.iter().map(request).collect())?;
    fact("config", config_types.iter().map(|spec| described(&spec.name, &spec.description)).collect())?;
    let granted = |grant: &weir_config::records::GrantSpec| {
        let what = if grant.what.is_empty() { String::new() } else { format!(" ({})", grant.what.join(", ")) };
        let optional = if grant.optional { ", optional" } else { "" };
        described(&format!("{}{what}{optional}", grant.grant), &grant.why)
    };
    fact("permission", grants.iter().map(granted).collect())?;
    fact("calls", called(&inspected.imports))?;
    if !inspected.unserved.is_empty() {
        fact("missing", inspected.unserved.clone())?;
    }
    let exports = if inspected.exports.is_empty() { String::new() } else { format!(", with {}", inspected.exports.join(", ")) };
    fact("built for", vec![format!("weir:processor {}{exports}", inspected.world)])?;
    fact("limits", limits(&inspected.descriptor.limits))?;
    fact("file", vec![format!("{}, {}", output::size(inspected.size_bytes), inspected.digest)])
}

fn described(name: &str, description: &str) -> String {
    if description.is_empty() { name.to_owned() } else { format!("{name}: {description}") }
}

fn consumer(spec: &ConsumerSpec, descriptor: &Descriptor) -> String {
    let mut text = spec.name.clone();
    if let Some(reply) = &spec.reply {
        text.push_str(&format!(", requests, answered on {reply}"));
    }
    match descriptor.concurrency_of(spec) {
        1 => {}
        count => text.push_str(&format!(", {count} at a time")),
    }
    if let Some(key) = &spec.order_by {
        text.push_str(&format!(", in order for each {key}"));
    }
    described(&text, &spec.description)
}

fn producer(spec: &ProducerSpec) -> String {
    let name = if spec.name == "*" { "any other topic that a flow assigns" } else { &spec.name };
    described(&format!("{name}{}", if spec.optional { ", optional" } else { "" }), &spec.description)
}

fn request(spec: &RequestSpec) -> String {
    let text =
        format!("{} (topics {} and {}), within {} ms", spec.name, spec.request, spec.response, output::number(spec.timeout_ms.into()));
    described(&text, &spec.description)
}

/// The imported interfaces, one line per package.
fn called(imports: &[String]) -> Vec<String> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for name in imports {
        let (path, version) = name.split_once('@').unwrap_or((name, ""));
        let (package, interface) = path.split_once('/').unwrap_or((path, ""));
        let package = format!("{package} {version}");
        match lines.last_mut() {
            Some((last, interfaces)) if *last == package => interfaces.push(interface),
            _ => lines.push((package, vec![interface])),
        }
    }
    lines.into_iter().map(|(package, interfaces)| format!("{}: {}", package.trim(), interfaces.join(", "))).collect()
}

fn limits(requested: &RequestedLimits) -> Vec<String> {
    let limits = ComponentLimits::default();
    let (memory_bytes, time_ms) = (requested.memory_bytes.unwrap_or(limits.memory_bytes), requested.time_ms.unwrap_or(limits.time_ms));
    let is_requested = |is_requested: bool| if is_requested { " (requested)" } else { "" };
    vec![
        format!(
            "{} of memory{}, {} per message{}",
            output::size(memory_bytes),
            is_requested(requested.memory_bytes.is_some()),
            output::time_limit(time_ms),
            is_requested(requested.time_ms.is_some())
        ),
        format!("{} sends of {} in total per message", output::number(limits.sends_count.into()), output::size(limits.sends_bytes)),
        format!("{} of log per minute; override limits with `weir deploy --limit`", output::size(limits.log_bytes_per_minute)),
    ]
}

fn parameter(spec: &ParameterSpec) -> String {
    let kind = match (spec.kind, spec.choices.is_empty()) {
        (_, false) => spec.choices.join(" | "),
        (ParameterKind::String, _) => "string".to_owned(),
        (ParameterKind::Integer, _) => "whole number".to_owned(),
        (ParameterKind::Number, _) => "number".to_owned(),
        (ParameterKind::Boolean, _) => "true or false".to_owned(),
        (ParameterKind::Json, _) => "JSON".to_owned(),
    };
    let unless_set = match (&spec.default, spec.required) {
        (Some(default), _) => format!(", default {default}"),
        (None, true) => ", required".to_owned(),
        (None, false) => ", optional".to_owned(),
    };
    described(&format!("{kind}{unless_set}"), &spec.description)
}

/// A name and its values, each value on its own lines.
fn fact(name: &str, indent: usize, values: Vec<String>) -> std::io::Result<()> {
    let values = if values.is_empty() { vec!["none".to_owned()] } else { values };
    for (at, value) in values.iter().enumerate() {
        let name = if at == 0 { output::cut(name, indent - 2) } else { String::new() };
        output::line(&format!("{name:<indent$}{}", wrapped(value, indent)))?;
    }
    Ok(())
}

/// Text wrapped to lines of at most [`WIDTH`], indented except for the first. Control characters are removed, since the text is untrusted.
fn wrapped(text: &str, indent: usize) -> String {
    let (mut lines, mut width) = (String::new(), indent);
    for word in text.split_whitespace() {
        let word: String = word.chars().filter(|c| !c.is_control()).collect();
        let length = word.chars().count();
        if width > indent && width + 1 + length > WIDTH {
            lines.push_str(&format!("\n{:indent$}", ""));
            width = indent;
        } else if width > indent {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(&word);
        width += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_free_of_control_characters() {
        let long = "word ".repeat(30);
        let text = wrapped(&long, 12);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("            word") && line.len() <= WIDTH), "{text}");
        assert_eq!(wrapped("a\u{1b}[31m\n b", 0), "a[31m b");
    }

    #[test]
    fn requirements_are_grouped_by_package() {
        let names = ["wasi:cli/exit@0.2.6", "wasi:io/error@0.2.6", "wasi:io/streams@0.2.6", "own:thing/x"].map(str::to_owned);
        assert_eq!(called(&names), ["wasi:cli 0.2.6: exit", "wasi:io 0.2.6: error, streams", "own:thing: x"]);
    }
}
