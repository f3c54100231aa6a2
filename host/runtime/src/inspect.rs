//! Inspecting a component file without running or compiling it.

use sha2::{Digest as _, Sha256};
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use weir_config::records::{ComponentRecord, Descriptor, Digest, GivenLimits, GivenRetry, descriptor_faults};
use weir_pubsub::shown;

use crate::contract::{Needs, needs};
use crate::engine::features;
use crate::error::{ComponentFault, WORLD_VERSION};

/// The custom section with the descriptor of a component.
pub const DESCRIPTOR_SECTION: &str = "weir:descriptor";
const PACKAGE: &str = "weir:processor/";
const HANDLER: &str = "weir:processor/handler";

/// The description of a component.
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
    /// The interfaces whose functions it calls, by their full names.
    pub imports: Vec<String>,
    /// Requirements that this host does not serve, for people; empty if it can run here.
    pub unserved: Vec<String>,
    /// Its descriptor, checked.
    pub descriptor: Descriptor,
    /// Parts of the descriptor that a host would ignore or could not grant, for people: unknown keys, impossible grants. Such a component is not
    /// deployed.
    pub faults: Vec<String>,
}

impl Inspected {
    /// Checks that this host serves everything the component needs.
    ///
    /// # Errors
    /// [`ComponentFault::Unserved`].
    pub fn check(self) -> Result<Self, ComponentFault> {
        match self.unserved.is_empty() {
            true => Ok(self),
            false => Err(ComponentFault::Unserved { needs: self.unserved.join(", "), built_against: self.world, served: WORLD_VERSION }),
        }
    }
}

impl From<Inspected> for ComponentRecord {
    /// The deployment of a component without grants and with default values.
    fn from(inspected: Inspected) -> Self {
        ComponentRecord {
            digest: inspected.digest,
            size_bytes: inspected.size_bytes,
            world: inspected.world,
            exports: inspected.exports,
            descriptor: inspected.descriptor,
            grants: Vec::new(),
            limits: GivenLimits::default(),
            concurrency: None,
            window: None,
            retry: GivenRetry::default(),
        }
    }
}

/// The digest of a component's bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

/// Inspects a component without running or compiling any of it. [`Inspected::check`] returns whether this host can run it.
///
/// # Errors
/// [`ComponentFault`], with the cause and the fix.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, ComponentFault> {
    check_header(bytes)?;
    let mut found = FoundSections::default();
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
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    found.imports.push(import.map_err(|error| format_fault(&error, bytes))?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == DESCRIPTOR_SECTION => found.add_descriptor(section.data(), depth)?,
            _ => {}
        }
    }
    let world = found.world()?;
    let types = Validator::new_with_features(features()).validate_all(bytes).map_err(|error| feature_fault(&error, bytes))?;
    let Needs { mut imports, unserved } = needs(&types, &found.imports, &found.exports);
    imports.sort();
    let text = found.descriptor.ok_or(ComponentFault::NoDescriptor)?.0;
    let descriptor = Descriptor::parse(text).map_err(ComponentFault::Descriptor)?;
    let faults = descriptor_faults(text, &descriptor);
    let exports = optional_exports(&found.exports);
    Ok(Inspected { digest: digest_of(bytes), size_bytes: bytes.len() as u64, world, exports, imports, unserved, descriptor, faults })
}

#[derive(Default)]
struct FoundSections<'a> {
    imports: Vec<String>,
    exports: Vec<String>,
    /// The bytes, and their nesting depth.
    descriptor: Option<(&'a [u8], u32)>,
}

impl<'a> FoundSections<'a> {
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

/// Classifies the first 8 bytes: `\0asm`, version and layer, two bytes each.
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

/// A fault of bytes that the engine cannot read completely: an unsupported feature is not damage.
fn feature_fault(error: &wasmparser::BinaryReaderError, bytes: &[u8]) -> ComponentFault {
    match Validator::new_with_features(WasmFeatures::all()).validate_all(bytes) {
        Ok(_) => ComponentFault::Feature { offset: error.offset() as u64, problem: error.message().to_owned() },
        Err(_) => format_fault(error, bytes),
    }
}

fn format_fault(error: &wasmparser::BinaryReaderError, bytes: &[u8]) -> ComponentFault {
    let ends_early = error.message().contains("unexpected end");
    if ends_early {
        return ComponentFault::Truncated { offset: bytes.len() as u64 };
    }
    ComponentFault::Invalid { offset: error.offset() as u64, problem: error.message().to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use wasm_encoder::{
        Component, ComponentExportKind, ComponentExportSection, ComponentTypeSection, CustomSection, InstanceType, Module, ModuleSection,
    };

    /// A component that exports empty instances of these names, with these descriptors in it and, marked as such, in a core module.
    fn component(exports: &[&str], outer: &[&str], inner: &[&str]) -> Vec<u8> {
        let mut component = Component::new();
        let section =
            |text: &'static str, data: &str| CustomSection { name: Cow::Borrowed(text), data: Cow::Owned(data.as_bytes().to_vec()) };
        let mut module = Module::new();
        inner.iter().for_each(|text| {
            module.section(&section(DESCRIPTOR_SECTION, text));
        });
        component.section(&ModuleSection(&module));
        let mut types = ComponentTypeSection::new();
        types.instance(&InstanceType::new());
        component.section(&types);
        let mut imports = wasm_encoder::ComponentImportSection::new();
        imports.import("x:y/z", wasm_encoder::ComponentTypeRef::Instance(0));
        component.section(&imports);
        let mut section_of_exports = ComponentExportSection::new();
        for name in exports {
            section_of_exports.export(*name, ComponentExportKind::Instance, 0, None);
        }
        component.section(&section_of_exports);
        outer.iter().for_each(|text| {
            component.section(&section(DESCRIPTOR_SECTION, text));
        });
        component.finish()
    }

    const HANDLER_NAME: &str = "weir:processor/handler@0.1.0";
    const DESCRIPTOR: &str = r#"{"schema": 1, "name": "a"}"#;

    #[test]
    fn a_component_describes_itself() {
        let bytes = component(&[HANDLER_NAME, "weir:processor/setup@0.1.0", "other:thing/x"], &[], &[DESCRIPTOR]);
        let found = inspect(&bytes).unwrap();
        assert_eq!((found.world.as_str(), found.exports.as_slice()), ("0.1.0", &["setup".to_owned()][..]));
        assert_eq!((found.descriptor.name.as_deref(), found.size_bytes), (Some("a"), bytes.len() as u64));
        assert_eq!(found.digest, digest_of(&bytes));
    }

    #[test]
    fn the_outermost_descriptor_wins() {
        let found = inspect(&component(&[HANDLER_NAME], &[r#"{"schema": 1, "name": "outer"}"#], &[DESCRIPTOR])).unwrap();
        assert_eq!(found.descriptor.name.as_deref(), Some("outer"));
    }

    #[test]
    fn every_fault_reports_its_cause_and_the_fix() {
        let check = |bytes: &[u8], word: &str| {
            let fault = inspect(bytes).unwrap_err();
            let text = weir_pubsub::chain(&fault);
            assert!(text.contains(word), "{text}");
        };
        let whole = component(&[HANDLER_NAME], &[], &[DESCRIPTOR]);
        check(b"", "begins with nothing");
        check(b"\x7fELF....", "\"\\x7fELF\"");
        check(b"\0as", "truncated");
        check(b"\0asm\x0d\0\x01", "truncated");
        check(&Module::new().finish(), "core WebAssembly module");
        check(b"\0asm\x63\0\x01\0", "version 99");
        for length in 8..whole.len() {
            assert!(inspect(&whole[..length]).is_err(), "cut at {length}");
        }
        check(&whole[..whole.len() - 1], "truncated");
        check(&component(&["other:thing/x"], &[], &[DESCRIPTOR]), "its exports: other:thing/x");
        check(&component(&[], &[], &[]), "its exports: none");
        check(&component(&["weir:processor/handler@0.2.0"], &[], &[DESCRIPTOR]), "weir:processor 0.2.0");
        check(&component(&["weir:processor/handler"], &[], &[DESCRIPTOR]), "without a version");
        check(&component(&[HANDLER_NAME], &[], &[]), "no section `weir:descriptor`");
        check(&component(&[HANDLER_NAME], &[], &["{}"]), "schema");
        check(&component(&[HANDLER_NAME], &[], &["not JSON"]), "weir:descriptor/1");
        check(&component(&[HANDLER_NAME], &[], &[&" ".repeat(1 << 20)]), "the limit is 65536");
        check(&component(&[HANDLER_NAME], &[DESCRIPTOR, "{}"], &[]), "several different sections");
    }
}
