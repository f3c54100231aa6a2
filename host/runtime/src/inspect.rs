//! What a component file is, read without running or compiling it.

use sha2::{Digest as _, Sha256};
use wasmparser::{Parser, Payload, Validator};
use weir_config::records::{Descriptor, Digest};

use crate::error::ComponentFault;

/// The custom section in which a component says what it is.
pub const DESCRIPTOR_SECTION: &str = "weir:descriptor";
const PACKAGE: &str = "weir:processor/";
const HANDLER: &str = "weir:processor/handler";

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// The version of `weir:processor` whose handler it exports, for example `0.1.0`.
    pub world: String,
    /// The optional exports of `weir:processor` that it has, for example `setup`.
    pub exports: Vec<String>,
    /// Its descriptor, checked.
    pub descriptor: Descriptor,
}

/// The digest of a component's bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

/// Reads what a component is, without running or compiling anything of it.
///
/// # Errors
/// [`ComponentFault`], which says what was found and what to do.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, ComponentFault> {
    check_header(bytes)?;
    let mut found = Found::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| format_fault(&error, bytes))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    found.exports.push(export.map_err(|error| format_fault(&error, bytes))?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == DESCRIPTOR_SECTION => found.add_descriptor(section.data(), depth)?,
            _ => {}
        }
    }
    let world = found.world()?;
    Validator::new().validate_all(bytes).map_err(|error| format_fault(&error, bytes))?;
    let descriptor = Descriptor::parse(found.descriptor.ok_or(ComponentFault::NoDescriptor)?.0).map_err(ComponentFault::Descriptor)?;
    let exports = optional_exports(&found.exports);
    Ok(Inspected { digest: digest_of(bytes), size_bytes: bytes.len() as u64, world, exports, descriptor })
}

#[derive(Default)]
struct Found<'a> {
    exports: Vec<String>,
    /// The bytes, and how deep they lie.
    descriptor: Option<(&'a [u8], u32)>,
}

impl<'a> Found<'a> {
    /// Keeps the outermost section: tools stamp it there, whereas languages can only put it into their core module.
    fn add_descriptor(&mut self, data: &'a [u8], depth: u32) -> Result<(), ComponentFault> {
        match self.descriptor {
            Some((_, held_depth)) if held_depth < depth => {}
            Some((held, held_depth)) if held_depth == depth && held != data => return Err(ComponentFault::TwoDescriptors),
            _ => self.descriptor = Some((data, depth)),
        }
        Ok(())
    }

    /// The version of the contract, by the name of the handler that is exported.
    fn world(&self) -> Result<String, ComponentFault> {
        let versions = self.exports.iter().filter_map(|name| {
            let (interface, version) = name.split_once('@').unwrap_or((name, ""));
            (interface == HANDLER).then_some(version)
        });
        let mut unknown = None;
        for version in versions {
            match semver::Version::parse(version) {
                Ok(parsed) if parsed.major == 0 && parsed.minor == 1 && parsed.pre.is_empty() => return Ok(version.to_owned()),
                _ => unknown = Some(if version.is_empty() { "without a version".to_owned() } else { shown(version) }),
            }
        }
        match unknown {
            Some(version) => Err(ComponentFault::UnknownVersion { version }),
            None => Err(ComponentFault::NoHandler { found: self.shown_exports() }),
        }
    }

    fn shown_exports(&self) -> String {
        const SHOWN_COUNT: usize = 8;
        if self.exports.is_empty() {
            return "none".to_owned();
        }
        let mut text = self.exports.iter().take(SHOWN_COUNT).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
        if self.exports.len() > SHOWN_COUNT {
            text.push_str(", ...");
        }
        text
    }
}

/// The beginning of a text of the component, fit for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}

fn optional_exports(names: &[String]) -> Vec<String> {
    let mut exports: Vec<String> = names
        .iter()
        .filter_map(|name| name.strip_prefix(PACKAGE)?.split('@').next())
        .filter(|interface| *interface != "handler")
        .map(str::to_owned)
        .collect();
    exports.sort();
    exports.dedup();
    exports
}

/// Tells the first 8 bytes: `\0asm`, version and layer, two bytes each.
fn check_header(bytes: &[u8]) -> Result<(), ComponentFault> {
    let magic = &bytes[..bytes.len().min(4)];
    if magic != b"\0asm" {
        if !bytes.is_empty() && b"\0asm".starts_with(magic) {
            return Err(ComponentFault::Truncated { offset: bytes.len() as u64 });
        }
        let found = match magic {
            [] => "nothing".to_owned(),
            _ => format!("\"{}\"", magic.escape_ascii()),
        };
        return Err(ComponentFault::NotWasm { found, size_bytes: bytes.len() as u64 });
    }
    let Some(rest) = bytes.get(4..8) else {
        return Err(ComponentFault::Truncated { offset: bytes.len() as u64 });
    };
    let version = u16::from_le_bytes([rest[0], rest[1]]);
    let layer = u16::from_le_bytes([rest[2], rest[3]]);
    match (version, layer) {
        (1, 0) => Err(ComponentFault::CoreModule),
        _ if Parser::is_component(bytes) => Ok(()),
        _ => Err(ComponentFault::UnknownFormat { layer, version }),
    }
}

fn format_fault(error: &wasmparser::BinaryReaderError, bytes: &[u8]) -> ComponentFault {
    let ends_early = error.message().contains("unexpected end");
    if ends_early {
        return ComponentFault::Truncated { offset: bytes.len() as u64 };
    }
    ComponentFault::Invalid { offset: error.offset() as u64, problem: error.message().to_owned() }
}
