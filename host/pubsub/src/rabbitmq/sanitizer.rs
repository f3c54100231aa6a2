//! Sanitizes the data that a broker sends, for the client library: the library closes the connection on a string that is not UTF-8 or on a header
//! frame larger than negotiated, and overflows its stack on deeply nested tables. The broker forwards all of that from any publisher, and redelivers
//! it endlessly, since it is never acknowledged. Here such a part of a message is replaced before the library reads it. The library also closes the
//! connection on a second confirmation of one cancellation, which the broker sends if a quorum queue is deleted meanwhile; that is removed. Pure.

use super::cancelled::Cancelled;

/// Frame types.
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// Type, channel and size before a payload; the end mark after it.
const HEAD_BYTES: usize = 7;
const END_BYTES: usize = 1;
/// Larger frames are passed unchanged: no broker sends them.
const MAX_HELD_BYTES: usize = 1 << 20;
/// Class, weight and body size before the flags of a header frame.
const BEFORE_FLAGS_BYTES: usize = 12;
/// The maximum nesting of tables and arrays; deeper ones become byte arrays.
const MAX_DEPTH: usize = 16;
/// The minimum size of a nested table: nothing shorter than `MAX_DEPTH` of them can be too deep.
const LEVEL_BYTES: usize = 5;
/// The replacement for each byte that is not valid text.
const REPLACEMENT: u8 = b'?';

/// The property flags, from the first to the last, with the type of each property.
const PROPERTIES: [Property; 14] = {
    use Property::{Bytes, Table, Text};
    [Text, Text, Table, Bytes(1), Bytes(1), Text, Text, Text, Text, Bytes(8), Text, Text, Text, Text]
};
const HEADERS_FLAG: u16 = 1 << 13;

#[derive(Clone, Copy)]
enum Property {
    Text,
    Table,
    Bytes(usize),
}

/// Splits incoming data, however it is fragmented, into frames.
#[derive(Debug, Default)]
pub(super) struct Sanitizer {
    /// The remaining bytes of a frame that is passed unchanged.
    passing_bytes: usize,
    /// The beginning of an incomplete frame.
    partial: Vec<u8>,
    /// The negotiated maximum frame size; 0 before that.
    largest_bytes: usize,
    /// The routing key of the message that is arriving.
    routing_key: Vec<u8>,
    cancelled: Cancelled,
    /// Messages in which something was replaced.
    replaced_count: u64,
    /// The data is not AMQP 0-9-1.
    is_blind: bool,
}

impl Sanitizer {
    /// Reads incoming data; may be called only if nothing is [missing](Sanitizer::missing_bytes). Returns the number of bytes at the front to pass
    /// on, which are complete. The rest is buffered.
    pub(super) fn sanitize(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut end) = (0, bytes.len());
        if self.is_blind {
            return end;
        }
        loop {
            let passed = self.passing_bytes.min(end - at);
            self.passing_bytes -= passed;
            at += passed;
            if at == end {
                return at;
            }
            match next(&bytes[at..end]) {
                Next::Pass(size) => self.passing_bytes = size,
                Next::Whole(size) => {
                    let left = self.clean(&mut bytes[at..at + size]);
                    if left < size {
                        bytes.copy_within(at + size..end, at + left);
                        end -= size - left;
                    }
                    at += left;
                }
                Next::Missing(_) => {
                    self.partial.extend_from_slice(&bytes[at..end]);
                    return at;
                }
                Next::Foreign => {
                    self.is_blind = true;
                    return end;
                }
            }
        }
    }

    /// How many bytes of the buffered frame are missing; `None` if none is buffered.
    pub(super) fn missing_bytes(&self) -> Option<usize> {
        match next(&self.partial) {
            Next::Missing(size) if !self.partial.is_empty() => Some(size),
            _ => None,
        }
    }

    /// Adds bytes to the buffered frame, at most the missing ones. Returns the data to pass on.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.partial.extend_from_slice(bytes);
        match next(&self.partial) {
            Next::Missing(_) => return None,
            Next::Pass(size) => self.passing_bytes = size - self.partial.len(),
            Next::Whole(_) => {
                let mut frame = std::mem::take(&mut self.partial);
                let left = self.clean(&mut frame);
                frame.truncate(left);
                return Some(frame);
            }
            Next::Foreign => self.is_blind = true,
        }
        Some(std::mem::take(&mut self.partial))
    }

    /// The buffered data, at the end of the stream.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.partial)
    }

    /// The number of messages in which something was replaced since the last call.
    pub(super) fn take_replaced_count(&mut self) -> u64 {
        std::mem::take(&mut self.replaced_count)
    }

    /// The routing key of the last message, for display.
    pub(super) fn routing_key(&self) -> String {
        String::from_utf8_lossy(&self.routing_key).into_owned()
    }

    /// Cleans a complete frame in place; returns its new length.
    fn clean(&mut self, frame: &mut [u8]) -> usize {
        let size = frame.len();
        let is_header = frame[0] == HEADER;
        let payload = &mut frame[HEAD_BYTES..size - END_BYTES];
        if !is_header {
            self.read_method(payload);
            return if self.cancelled.is_repeated(payload) { 0 } else { size };
        }
        if self.largest_bytes > 0 && size > self.largest_bytes {
            self.replaced_count += 1;
            let left = without_headers(payload).unwrap_or(payload.len());
            frame[3..HEAD_BYTES].copy_from_slice(&(left as u32).to_be_bytes());
            frame[HEAD_BYTES + left] = frame[size - 1];
            return HEAD_BYTES + left + END_BYTES;
        }
        self.replaced_count += u64::from(clean_header(payload));
        size
    }

    fn read_method(&mut self, payload: &mut [u8]) {
        let mut cursor = ByteCursor::over(payload);
        let (class, method) = (cursor.number(), cursor.number());
        match (class, method) {
            // connection.tune
            (Some(10), Some(30)) => {
                let largest = cursor.take(2).and_then(|_| cursor.long());
                self.largest_bytes = largest.map_or(0, |size| if size == 0 { usize::MAX } else { size });
            }
            // basic.deliver, basic.get-ok
            (Some(60), Some(method @ (60 | 71))) => {
                if method == 60 {
                    cursor.text();
                }
                // Delivery tag, redelivered flag, exchange.
                cursor.take(9);
                cursor.text();
                if let Some(key) = cursor.text() {
                    self.routing_key.clear();
                    self.routing_key.extend_from_slice(key);
                }
                self.replaced_count += u64::from(cursor.is_changed);
            }
            _ => {}
        }
    }
}

/// What the next bytes are.
enum Next {
    /// A frame of this size that is passed unchanged.
    Pass(usize),
    /// A complete frame of this size, to be cleaned.
    Whole(usize),
    /// An incomplete frame that needs this many more bytes.
    Missing(usize),
    /// Not a frame of AMQP 0-9-1.
    Foreign,
}

fn next(bytes: &[u8]) -> Next {
    if bytes.first().is_some_and(|first| !matches!(*first, METHOD | HEADER | BODY | HEARTBEAT)) {
        return Next::Foreign;
    }
    let Some(size) = bytes.get(3..HEAD_BYTES) else { return Next::Missing(HEAD_BYTES - bytes.len()) };
    let size = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)) + HEAD_BYTES + END_BYTES;
    if matches!(bytes[0], BODY | HEARTBEAT) || size > MAX_HELD_BYTES {
        return Next::Pass(size);
    }
    match size.checked_sub(bytes.len()) {
        None | Some(0) => Next::Whole(size),
        Some(missing) => Next::Missing(missing),
    }
}

/// Makes the payload of a header frame valid without changing its length; returns whether something was replaced.
fn clean_header(payload: &mut [u8]) -> bool {
    let Some((before, properties)) = payload.split_at_mut_checked(BEFORE_FLAGS_BYTES + 2) else { return false };
    // The common case: nothing can be invalid or deep.
    if properties.len() < MAX_DEPTH * LEVEL_BYTES && properties.is_ascii() {
        return false;
    }
    let flags = u16::from_be_bytes([before[BEFORE_FLAGS_BYTES], before[BEFORE_FLAGS_BYTES + 1]]);
    let mut cursor = ByteCursor::over(properties);
    for (at, property) in PROPERTIES.into_iter().enumerate() {
        if flags & 1 << (15 - at) == 0 {
            continue;
        }
        let is_read = match property {
            Property::Text => cursor.text().is_some(),
            Property::Bytes(size) => cursor.take(size).is_some(),
            Property::Table => cursor.table(0),
        };
        if !is_read {
            break;
        }
    }
    cursor.is_changed
}

/// Removes the headers from the payload of a header frame and cleans the rest; returns the new length.
fn without_headers(payload: &mut [u8]) -> Option<usize> {
    let (before, properties) = payload.split_at_mut_checked(BEFORE_FLAGS_BYTES + 2)?;
    let flags = u16::from_be_bytes([before[BEFORE_FLAGS_BYTES], before[BEFORE_FLAGS_BYTES + 1]]);
    let all_bytes = properties.len();
    let mut cursor = ByteCursor::over(properties);
    for at in 0..2 {
        if flags & 1 << (15 - at) != 0 {
            cursor.text()?;
        }
    }
    let from = all_bytes - cursor.rest.len();
    if flags & HEADERS_FLAG == 0 {
        return None;
    }
    let size = cursor.long()?;
    let table_bytes = 4 + cursor.take(size)?.len();
    before[BEFORE_FLAGS_BYTES..].copy_from_slice(&(flags & !HEADERS_FLAG).to_be_bytes());
    let from = before.len() + from;
    payload.copy_within(from + table_bytes.., from);
    let left = payload.len() - table_bytes;
    clean_header(&mut payload[..left]);
    Some(left)
}

/// Reads through bytes and replaces what is invalid.
struct ByteCursor<'b> {
    rest: &'b mut [u8],
    is_changed: bool,
}

impl<'b> ByteCursor<'b> {
    fn over(bytes: &'b mut [u8]) -> Self {
        ByteCursor { rest: bytes, is_changed: false }
    }

    fn take(&mut self, size: usize) -> Option<&'b mut [u8]> {
        let (taken, rest) = std::mem::take(&mut self.rest).split_at_mut_checked(size)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<&'b mut u8> {
        self.take(1)?.first_mut()
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn long(&mut self) -> Option<usize> {
        self.take(4).map(|bytes| bytes.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)))
    }

    /// A short string, which must be UTF-8.
    fn text(&mut self) -> Option<&'b [u8]> {
        let size = usize::from(*self.byte()?);
        let text = self.take(size)?;
        self.is_changed |= make_text(text);
        Some(text)
    }

    /// Reads a table; returns whether it is well-formed.
    fn table(&mut self, depth: usize) -> bool {
        let Some(fields) = self.long().and_then(|size| self.take(size)) else { return false };
        let mut fields = ByteCursor::over(fields);
        let mut is_read = true;
        while is_read && !fields.rest.is_empty() {
            is_read = fields.text().is_some() && fields.value(depth);
        }
        self.is_changed |= fields.is_changed;
        is_read
    }

    fn list(&mut self, depth: usize) -> bool {
        let Some(values) = self.long().and_then(|size| self.take(size)) else { return false };
        let mut values = ByteCursor::over(values);
        let mut is_read = true;
        while is_read && !values.rest.is_empty() {
            is_read = values.value(depth);
        }
        self.is_changed |= values.is_changed;
        is_read
    }

    /// Reads a value with its type; returns whether it is well-formed.
    fn value(&mut self, depth: usize) -> bool {
        let Some(kind) = self.byte() else { return false };
        let size = match *kind {
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            // Any bytes: the client library does not check long strings.
            b'S' | b'x' => return self.long().and_then(|size| self.take(size)).is_some(),
            // Byte arrays have the same form.
            b'F' | b'A' if depth == MAX_DEPTH => {
                *kind = b'x';
                self.is_changed = true;
                return self.long().and_then(|size| self.take(size)).is_some();
            }
            b'F' => return self.table(depth + 1),
            b'A' => return self.list(depth + 1),
            _ => return false,
        };
        self.take(size).is_some()
    }
}

/// Replaces everything that is not UTF-8; returns whether something was replaced.
fn make_text(mut text: &mut [u8]) -> bool {
    let mut is_changed = false;
    while let Err(error) = std::str::from_utf8(text) {
        is_changed = true;
        let wrong = error.error_len().unwrap_or(text.len() - error.valid_up_to());
        text = &mut text[error.valid_up_to()..];
        text[..wrong].fill(REPLACEMENT);
        text = &mut text[wrong..];
    }
    is_changed
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind, 0, 1][..], &(payload.len() as u32).to_be_bytes(), payload, &[0xce]].concat()
    }

    fn short(text: &[u8]) -> Vec<u8> {
        [&[text.len() as u8], text].concat()
    }

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    fn header(flags: u16, properties: &[Vec<u8>]) -> Vec<u8> {
        let before = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2][..], &flags.to_be_bytes()].concat();
        frame(HEADER, &[before, properties.concat()].concat())
    }

    fn deliver(key: &[u8]) -> Vec<u8> {
        frame(METHOD, &[&[0, 60, 0, 60][..], &short(b"tag"), &[0; 8], &[0], &short(b"tg"), &short(key)].concat())
    }

    fn tune(largest: u32) -> Vec<u8> {
        frame(METHOD, &[&[0, 10, 0, 30, 0, 0][..], &largest.to_be_bytes(), &[0, 60]].concat())
    }

    /// The output for input that arrives in these pieces.
    fn sanitized(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, u64) {
        let (mut sanitizer, mut out) = (Sanitizer::default(), Vec::new());
        let mut at = 0;
        let mut cuts = cuts.iter().map(|cut| *cut.max(&1)).chain(std::iter::repeat(usize::MAX));
        while at < bytes.len() {
            let piece = cuts.next().unwrap().min(bytes.len() - at);
            match sanitizer.missing_bytes() {
                Some(missing) => {
                    let piece = piece.min(missing);
                    out.extend(sanitizer.add(&bytes[at..at + piece]).unwrap_or_default());
                    at += piece;
                }
                None => {
                    let mut piece = bytes[at..at + piece].to_vec();
                    at += piece.len();
                    let ready = sanitizer.sanitize(&mut piece);
                    out.extend_from_slice(&piece[..ready]);
                }
            }
        }
        let replaced_count = sanitizer.take_replaced_count();
        out.extend(sanitizer.rest());
        (out, replaced_count)
    }

    /// All strings of a message are invalid, and a table is too deep.
    fn hostile() -> (Vec<u8>, Vec<u8>) {
        let deep = |last: u8| {
            let mut value = [&[last][..], &long(&[])].concat();
            for depth in 0..MAX_DEPTH {
                value = if depth % 2 == 0 {
                    [&b"A"[..], &long(&value)].concat()
                } else {
                    [&b"F"[..], &long(&[short(b"k"), value].concat())].concat()
                };
            }
            value
        };
        let table = |key: &[u8], last: u8| {
            let fields = [short(key), [&b"S"[..], &long(b"\xff\xfe")].concat(), short(b"deep"), deep(last)].concat();
            long(&[fields, short(b"n"), b"V".to_vec()].concat())
        };
        let message = |text: &[u8], key: &[u8], last: u8| {
            let properties = [short(text), table(key, last), vec![2], short(text)];
            [deliver(text), header(0xb400, &properties), frame(BODY, b"\xff\xff"), frame(HEARTBEAT, b""), deliver(b"x"), header(0, &[])]
                .concat()
        };
        (message(b"a\xffb\xc3", b"\xe2\x82", b'A'), message(b"a?b?", b"??", b'x'))
    }

    #[test]
    fn only_illegible_parts_are_replaced() {
        let (before, after) = hostile();
        let (out, replaced_count) = sanitized(&before, &[]);
        assert_eq!(out, after);
        assert_eq!(replaced_count, 2, "the texts of the delivery and of the header");
        assert_eq!(sanitized(&after, &[]), (after, 0));
    }

    #[test]
    fn headers_larger_than_agreed_are_omitted() {
        let table = long(&[short(b"k"), [&b"S"[..], &long(&[b'x'; 5_000])].concat()].concat());
        let header_of = |flags: u16, table: &[u8]| header(flags, &[short(b"text/\xff"), table.to_vec(), vec![2]]);
        let large = [tune(4_096), header_of(0xb000, &table), frame(BODY, b"hi")].concat();
        let small = [tune(4_096), header(0x9000, &[short(b"text/?"), vec![2]]), frame(BODY, b"hi")].concat();
        for cuts in [&[][..], &[3], &[5, 30, 4_000]] {
            assert_eq!(sanitized(&large, cuts), (small.clone(), 1));
        }
        let unbounded = [tune(0), header_of(0xb000, &table)].concat();
        assert_eq!(sanitized(&unbounded, &[]).0.len(), unbounded.len());
    }

    #[test]
    fn a_second_confirmation_of_a_cancellation_is_ignored() {
        let cancelled = |tag: &str| frame(METHOD, &[&[0, 60, 0, 31][..], &short(tag.as_bytes())].concat());
        let before = [cancelled("one"), deliver(b"x"), cancelled("two"), cancelled("one"), deliver(b"y")].concat();
        let after = [cancelled("one"), deliver(b"x"), cancelled("two"), deliver(b"y")].concat();
        assert_eq!((sanitized(&before, &[]), sanitized(&before, &[3, 30, 60])), ((after.clone(), 0), (after, 0)));
    }

    #[test]
    fn another_protocol_passes_unchanged() {
        let answer = b"AMQP\x00\x00\x09\x01\x02\xff\xff".to_vec();
        assert_eq!(sanitized(&answer, &[]), (answer.clone(), 0));
        assert_eq!(sanitized(&answer, &[2, 2]), (answer, 0));
    }

    proptest! {
        #[test]
        fn frames_may_be_split_anywhere(cuts in prop::collection::vec(1..40_usize, 0..60)) {
            let (before, after) = hostile();
            prop_assert_eq!(sanitized(&before, &cuts), (after, 2));
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_none_are_lost(bytes in prop::collection::vec(prop_oneof![0..9_u8, any::<u8>()], 0..200), cuts in prop::collection::vec(1..20_usize, 0..20)) {
            let whole = frame(HEADER, &bytes);
            prop_assert_eq!(sanitized(&whole, &cuts).0.len(), whole.len());
            prop_assert_eq!(sanitized(&bytes, &cuts).0.len(), bytes.len());
        }
    }
}
