//! Fields: how numbers and strings are written and read.

/// Writes fields at the end of a buffer.
pub(super) trait WriteFields {
    fn byte(&mut self, value: u8);
    fn word(&mut self, value: u32);
    fn long(&mut self, value: u64);
    fn queue(&mut self, number: u64);
    fn text(&mut self, text: &str);
}

impl WriteFields for Vec<u8> {
    fn byte(&mut self, value: u8) {
        self.push(value);
    }

    fn word(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn long(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn queue(&mut self, number: u64) {
        self.word(number as u32);
    }

    fn text(&mut self, text: &str) {
        self.word(text.len() as u32);
        self.extend_from_slice(text.as_bytes());
    }
}

/// Reads bytes from the front; `None` if there are too few.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn word(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|four| u32::from_le_bytes(*four))
    }

    pub(super) fn long(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|eight| u64::from_le_bytes(*eight))
    }

    pub(super) fn queue(&mut self) -> Option<u64> {
        self.word().map(u64::from)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.word()? as usize;
        std::str::from_utf8(self.take(length)?).ok()
    }
}
