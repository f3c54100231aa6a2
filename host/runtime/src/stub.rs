//! A component without its code: the same types, imports, exports, memories, tables and data, and functions that do nothing. The engine
//! compiles it in a fraction of the time, with the same result as for the real one up to running it.

/// The most functions of a component, over all its modules: far more than any language produces, and compiled as a stub within seconds.
const MAX_FUNCTIONS_COUNT: u64 = 200_000;
const MAX_DEPTH: u32 = 100;

const CUSTOM: u8 = 0;
/// Sections of components.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;
/// Sections of core modules.
const START: u8 = 8;
const CODE: u8 = 10;
/// The body of a function of any type: its length, no locals, `unreachable`, `end`.
const TRAP: [u8; 4] = [3, 0, 0x00, 0x0b];
/// Magic number, version and layer.
const HEADER_BYTES: usize = 8;

/// Makes the copy. The bytes must be a component that a validator accepted.
///
/// # Errors
/// The problem, for display.
pub(crate) fn stub_component(component: &[u8]) -> Result<Vec<u8>, String> {
    let mut work = StubBuilder { functions_count: 0 };
    let copy = work.copy(component, BinaryKind::Component, 0).ok_or("its sections cannot be read")?;
    match work.functions_count > MAX_FUNCTIONS_COUNT {
        true => Err(format!("it has {} functions; at most {MAX_FUNCTIONS_COUNT} are accepted", work.functions_count)),
        false => Ok(copy),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BinaryKind {
    Component,
    Module,
}

struct StubBuilder {
    functions_count: u64,
}

impl StubBuilder {
    fn copy(&mut self, bytes: &[u8], kind: BinaryKind, depth: u32) -> Option<Vec<u8>> {
        let (header, mut rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let mut copy = header.to_vec();
        while let Some((&id, after)) = rest.split_first() {
            let (size, after) = number(after)?;
            let (content, after) = after.split_at_checked(usize::try_from(size).ok()?)?;
            rest = after;
            match (kind, id) {
                (_, CUSTOM) | (BinaryKind::Module, START) => {}
                (BinaryKind::Module, CODE) => add(&mut copy, CODE, &self.code(content)?),
                (BinaryKind::Component, CORE_MODULE | COMPONENT) if depth >= MAX_DEPTH => return None,
                (BinaryKind::Component, CORE_MODULE) => add(&mut copy, id, &self.copy(content, BinaryKind::Module, depth + 1)?),
                (BinaryKind::Component, COMPONENT) => add(&mut copy, id, &self.copy(content, BinaryKind::Component, depth + 1)?),
                _ => add(&mut copy, id, content),
            }
        }
        Some(copy)
    }

    fn code(&mut self, content: &[u8]) -> Option<Vec<u8>> {
        let (count, _) = number(content)?;
        self.functions_count += count;
        let mut code = Vec::new();
        add_number(&mut code, count);
        // If there are more than the accepted maximum, the result is not used.
        (0..count.min(MAX_FUNCTIONS_COUNT)).for_each(|_| code.extend_from_slice(&TRAP));
        Some(code)
    }
}

/// An unsigned LEB128 number of at most 32 bits, and the bytes after it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

fn add_number(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn add(to: &mut Vec<u8>, id: u8, content: &[u8]) {
    to.push(id);
    add_number(to, content.len() as u64);
    to.extend_from_slice(content);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use wasm_encoder::{CodeSection, Component, Function, FunctionSection, Module, ModuleSection, TypeSection};

    fn component(bodies_count: u32) -> Vec<u8> {
        let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function([], [wasm_encoder::ValType::I32]);
        for _ in 0..bodies_count {
            functions.function(0);
            let mut body = Function::new([]);
            body.instructions().i32_const(7).end();
            code.function(&body);
        }
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&code);
        let mut component = Component::new();
        component.section(&ModuleSection(&module));
        component.finish()
    }

    #[test]
    fn a_stub_component_is_valid_and_has_as_many_functions() {
        let whole = component(300);
        let copy = stub_component(&whole).unwrap();
        assert!(wasmparser::Validator::new().validate_all(&copy).is_ok());
        assert_ne!(copy, whole);
        assert_eq!(stub_component(&copy).unwrap(), copy);
        for length in 0..whole.len() {
            let _ = stub_component(&whole[..length]);
        }
    }

    #[test]
    fn more_functions_than_any_language_needs_are_refused() {
        assert!(stub_component(&component(200_000)).is_ok());
        assert_eq!(stub_component(&component(200_001)).unwrap_err(), "it has 200001 functions; at most 200000 are accepted");
    }
}
