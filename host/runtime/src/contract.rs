//! The part of `wit/processor.wit` that this host serves, and whether a component requires more: determined from its types, without
//! compiling it.
//!
//! The engine would find the same when it links the component, but only on a host, after compiling, and with messages of its own.

use std::fmt::Write;

use wasmparser::component_types::{ComponentDefinedType, ComponentEntityType, ComponentFuncTypeId, ComponentItem, ComponentValType};
use wasmparser::types::Types;

/// Names for types that occur in many functions; the tables refer to them with `@`.
const NAMED: [(&str, &str); 5] = [
    ("message", "record{body: list<u8>, content-type: option<string>, properties: list<tuple<string, string>>}"),
    ("failure", "record{verdict: enum{retry, busy, reject}, reason: string, delay-ms: option<u32>}"),
    ("call-error", "record{kind: enum{timeout, unavailable, failed, invalid}, reason: string}"),
    ("part", "enum{more, last}"),
    ("level", "enum{trace, debug, info, warn, error}"),
];

/// The functions of an interface, by name, with their types.
type Functions = &'static [(&'static str, &'static str)];

/// The interfaces that components import. Frozen for all of 0.1.x; a later version adds lines.
const IMPORTS: [(&str, Functions); 4] = [
    (
        "context",
        &[
            ("processor", "func() -> string"),
            ("flow", "func() -> string"),
            ("variant", "func() -> string"),
            ("deployment", "func() -> string"),
            ("parameter", "func(name: string) -> option<string>"),
            ("parameters", "func() -> list<tuple<string, string>>"),
            ("outputs", "func() -> list<string>"),
            ("message-id", "func() -> string"),
            ("attempt", "func() -> u32"),
            ("remaining-ms", "func() -> u32"),
        ],
    ),
    (
        "messaging",
        &[
            ("send", "func(to: string, message: @message) -> result<_, @call-error>"),
            ("reply", "func(message: @message, part: @part) -> result<_, @call-error>"),
            ("request", "func(to: string, message: @message, timeout-ms: option<u32>) -> result<list<@message>, @call-error>"),
            ("begin-request", "func(to: string, message: @message, timeout-ms: option<u32>) -> result<u32, @call-error>"),
            ("next-reply", "func(call: u32) -> result<option<@message>, @call-error>"),
        ],
    ),
    (
        "config",
        &[
            ("get", "func(config-type: string, key: string) -> option<string>"),
            ("keys", "func(config-type: string) -> list<string>"),
            ("version", "func(config-type: string) -> u64"),
        ],
    ),
    (
        "log",
        &[
            ("enabled", "func(level: @level) -> bool"),
            ("write", "func(level: @level, message: string, fields: list<tuple<string, string>>)"),
        ],
    ),
];

/// The interfaces that components export.
const EXPORTS: [(&str, Functions); 2] = [
    ("handler", &[("handle", "func(input: string, message: @message) -> result<_, @failure>")]),
    ("setup", &[("configure", "func(changed: list<string>) -> result<_, string>")]),
];

/// The packages of WASI that every component may import; most of their functions are refused when called.
const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// The maximum length of a spelled-out type: several times the longest of the tables. Types can be shared, so a small file could spell out gigabytes.
const MAX_TYPE_BYTES: usize = 4 << 10;
/// The most unserved requirements reported of one component.
const MAX_UNSERVED_COUNT: usize = 50;

/// The imports of a component, and the requirements that this host does not serve.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The names of the interfaces whose functions it calls.
    pub(crate) imports: Vec<String>,
    /// Unserved requirements, for people: interfaces, functions, and functions of another type.
    pub(crate) unserved: Vec<String>,
}

/// Determines what a component needs. `imports` and `exports` are the names at its outermost level.
pub(crate) fn needs(types: &Types, imports: &[String], exports: &[String]) -> Needs {
    let mut found = Needs::default();
    for name in imports {
        let functions = types.component_item_for_import(name).map(|item| functions(types, item)).unwrap_or_default();
        if !functions.is_empty() {
            found.imports.push(name.clone());
            found.check_import(types, name, &functions);
        }
    }
    for name in exports {
        if let (Some(served), Some(item)) = (of_contract(name, &EXPORTS), types.component_item_for_export(name)) {
            found.check_types(types, name, served, &functions(types, item));
        }
    }
    found
}

impl Needs {
    fn check_import(&mut self, types: &Types, name: &str, functions: &[(&str, Option<ComponentFuncTypeId>)]) {
        match of_contract(name, &IMPORTS) {
            Some(served) => self.check_types(types, name, served, functions),
            None if is_served_wasi(name) => {}
            None => self.note_unserved(|| format!("`{}`", weir_pubsub::shown(name))),
        }
    }

    fn check_types(&mut self, types: &Types, name: &str, served: Functions, functions: &[(&str, Option<ComponentFuncTypeId>)]) {
        for (function, id) in functions {
            let called = || format!("`{}` of `{}`", weir_pubsub::shown(function), weir_pubsub::shown(name));
            let Some((_, desired)) = served.iter().find(|(known, _)| known == function) else {
                self.note_unserved(called);
                continue;
            };
            let found = id.map(|id| of_function(types, id)).unwrap_or_default();
            if spelled_out(desired) != found {
                let found = named(&found);
                self.note_unserved(|| format!("{} as `{found}` (here it is `{}`)", called(), desired.replace('@', "")));
            }
        }
    }

    fn note_unserved(&mut self, what: impl FnOnce() -> String) {
        match self.unserved.len() {
            count if count < MAX_UNSERVED_COUNT => self.unserved.push(what()),
            MAX_UNSERVED_COUNT => self.unserved.push("more".to_owned()),
            _ => {}
        }
    }
}

/// The served functions of an interface, if it belongs to a version of the contract that is served.
fn of_contract(name: &str, interfaces: &[(&str, Functions)]) -> Option<Functions> {
    let (interface, version) = name.strip_prefix("weir:processor/")?.split_once('@')?;
    let version = semver::Version::parse(version).ok()?;
    let is_served = (version.major, version.minor) == (0, 1) && version.pre.is_empty();
    let (_, functions) = interfaces.iter().find(|(known, _)| is_served && *known == interface)?;
    Some(functions)
}

fn is_served_wasi(name: &str) -> bool {
    let version = name.split_once('@').and_then(|(_, version)| semver::Version::parse(version).ok());
    let is_served = version.is_some_and(|version| (version.major, version.minor) == (0, 2) && version.pre.is_empty());
    is_served && WASI.iter().any(|package| name.starts_with(package))
}

/// The functions of an interface; an item that is not an interface is a single function.
fn functions<'a>(types: &'a Types, item: &'a ComponentItem) -> Vec<(&'a str, Option<ComponentFuncTypeId>)> {
    let ComponentEntityType::Instance(id) = item.ty else {
        return match item.ty {
            ComponentEntityType::Type { .. } => Vec::new(),
            _ => vec![("it", None)],
        };
    };
    let functions = types[id].exports.iter().filter_map(|(name, item)| match item.ty {
        ComponentEntityType::Func(id) => Some((name.as_str(), Some(id))),
        _ => None,
    });
    functions.collect()
}

fn of_function(types: &Types, id: ComponentFuncTypeId) -> String {
    let function = &types[id];
    let mut text = String::from(if function.async_ { "async func(" } else { "func(" });
    fields(types, &mut text, function.params.iter().map(|(name, ty)| (name.as_str(), Some(*ty))));
    text.push(')');
    if let Some(result) = function.result {
        text.push_str(" -> ");
        value(types, &mut text, result);
    }
    text
}

/// A list of names, some of which have types.
fn fields<'a>(types: &Types, text: &mut String, fields: impl Iterator<Item = (&'a str, Option<ComponentValType>)>) {
    for (at, (name, ty)) in fields.enumerate() {
        if text.len() > MAX_TYPE_BYTES {
            return text.push_str("...");
        }
        text.push_str(if at > 0 { ", " } else { "" });
        text.push_str(name);
        if let Some(ty) = ty {
            text.push_str(": ");
            value(types, text, ty);
        }
    }
}

/// A type in WIT syntax, with records and enums written out. The validator bounds the nesting.
fn value(types: &Types, text: &mut String, ty: ComponentValType) {
    if text.len() > MAX_TYPE_BYTES {
        return;
    }
    let id = match ty {
        ComponentValType::Primitive(primitive) => return text.push_str(&primitive.to_string()),
        ComponentValType::Type(id) => id,
    };
    let mut around = |word: &str, inner: &[Option<ComponentValType>]| {
        let _ = write!(text, "{word}<");
        for (at, ty) in inner.iter().enumerate() {
            text.push_str(if at > 0 { ", " } else { "" });
            match ty {
                Some(ty) => value(types, text, *ty),
                None => text.push('_'),
            }
        }
        text.push('>');
    };
    match &types[id] {
        ComponentDefinedType::Primitive(primitive) => text.push_str(&primitive.to_string()),
        ComponentDefinedType::List { element, .. } => around("list", &[Some(*element)]),
        ComponentDefinedType::Option { ty, .. } => around("option", &[Some(*ty)]),
        ComponentDefinedType::Result { ok, err, .. } => around("result", &[*ok, *err]),
        ComponentDefinedType::Tuple(tuple) => around("tuple", &tuple.types.iter().copied().map(Some).collect::<Vec<_>>()),
        ComponentDefinedType::Record(record) => {
            text.push_str("record{");
            fields(types, text, record.fields.iter().map(|(name, ty)| (name.as_str(), Some(*ty))));
            text.push('}');
        }
        ComponentDefinedType::Enum(cases) => {
            text.push_str("enum{");
            fields(types, text, cases.iter().map(|name| (name.as_str(), None)));
            text.push('}');
        }
        ComponentDefinedType::Variant(variant) => {
            text.push_str("variant{");
            fields(types, text, variant.cases.iter().map(|(name, case)| (name.as_str(), case.ty)));
            text.push('}');
        }
        // No served version contains any of these.
        _ => text.push_str("another type"),
    }
}

/// A type of the tables with its names written out.
fn spelled_out(text: &str) -> String {
    NAMED.iter().fold(text.to_owned(), |text, (name, ty)| text.replace(&format!("@{name}"), ty))
}

/// A type with names in place of the types listed here.
fn named(text: &str) -> String {
    NAMED.iter().fold(text.to_owned(), |text, (name, ty)| text.replace(ty, name))
}
