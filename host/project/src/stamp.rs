//! Puts the descriptor into a component: as a custom section of the component itself, which hosts prefer to one in a core module. Pure.

use weir_runtime::DESCRIPTOR_SECTION;

/// The eight bytes of magic and version.
const HEADER_BYTES: usize = 8;
const CUSTOM: u8 = 0;

/// The component with this descriptor, which replaces one that was stamped before.
pub fn stamp(component: &[u8], descriptor: &str) -> Vec<u8> {
    let mut stamped = without_descriptor(component);
    let name = DESCRIPTOR_SECTION.as_bytes();
    let mut payload = Vec::with_capacity(name.len() + descriptor.len() + 2);
    write_number(name.len(), &mut payload);
    payload.extend_from_slice(name);
    payload.extend_from_slice(descriptor.as_bytes());
    stamped.push(CUSTOM);
    write_number(payload.len(), &mut stamped);
    stamped.extend_from_slice(&payload);
    stamped
}

/// The component without top-level descriptors. Everything from the first unreadable section on stays unchanged: the check reports it.
fn without_descriptor(component: &[u8]) -> Vec<u8> {
    let (header, mut rest) = component.split_at(component.len().min(HEADER_BYTES));
    let mut kept = header.to_vec();
    while let Some((section, is_descriptor)) = first_section(rest) {
        if !is_descriptor {
            kept.extend_from_slice(section);
        }
        rest = &rest[section.len()..];
    }
    kept.extend_from_slice(rest);
    kept
}

/// The bytes of the first section, and whether it is a descriptor.
fn first_section(bytes: &[u8]) -> Option<(&[u8], bool)> {
    let (size, size_bytes) = read_number(bytes.get(1..)?)?;
    let start = 1 + size_bytes;
    let section = bytes.get(..start.checked_add(size)?)?;
    let is_descriptor = section[0] == CUSTOM
        && read_number(&section[start..]).is_some_and(|(length, length_bytes)| {
            let name = section.get(start + length_bytes..).and_then(|rest| rest.get(..length));
            name == Some(DESCRIPTOR_SECTION.as_bytes())
        });
    Some((section, is_descriptor))
}

/// A number in LEB128, and how many bytes it took.
fn read_number(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0_usize;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, at + 1));
        }
    }
    None
}

fn write_number(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        out.push(if number > 0 { byte | 0x80 } else { byte });
        if number == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_stamp_replaces_the_first() {
        let bare = b"\0asm\x0d\0\x01\0\0\x03\x01ab";
        let once = stamp(bare, r#"{"schema": 1}"#);
        assert!(once.starts_with(bare) && once.ends_with(br#"{"schema": 1}"#));
        let long = format!(r#"{{"schema": 1, "description": "{}"}}"#, "x".repeat(300));
        let twice = stamp(&once, &long);
        assert!(twice.starts_with(bare) && twice.ends_with(long.as_bytes()));
        assert_eq!(stamp(&twice, r#"{"schema": 1}"#), once);
    }

    #[test]
    fn a_truncated_file_is_left_unchanged() {
        for bytes in [&b""[..], b"\0as", b"\0asm\x0d\0\x01\0\x01\x7f", b"\0asm\x0d\0\x01\0\0\xff\xff\xff\xff\xff"] {
            assert!(stamp(bytes, "{}").starts_with(bytes));
        }
    }
}
