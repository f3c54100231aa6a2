//! How the regions of the world write phone numbers.

use std::ops::RangeInclusive;

/// How a region writes its numbers without the country code.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// Its ISO 3166 code, in lower case.
    pub code: &'static str,
    /// The first digits of numbers.
    first: &'static [u8],
    least_digits: usize,
    most_digits: usize,
}

const REGIONS: &[Region] = &[
    Region::new("at", b"0", 8..=13),
    Region::new("au", b"0", 10..=10),
    Region::new("be", b"0", 9..=10),
    Region::new("ca", b"", 10..=10),
    Region::new("ch", b"0", 10..=10),
    Region::new("de", b"0", 8..=12),
    Region::new("es", b"6789", 9..=9),
    Region::new("fr", b"0", 10..=10),
    Region::new("gb", b"0", 10..=11),
    Region::new("ie", b"0", 9..=10),
    Region::new("it", b"03", 9..=11),
    Region::new("jp", b"0", 10..=11),
    Region::new("nl", b"0", 10..=10),
    Region::new("pl", b"123456789", 9..=9),
    Region::new("pt", b"239", 9..=9),
    Region::new("se", b"0", 8..=10),
    Region::new("us", b"", 10..=10),
];

impl Region {
    const fn new(code: &'static str, first: &'static [u8], digits: RangeInclusive<usize>) -> Self {
        Self { code, first, least_digits: *digits.start(), most_digits: *digits.end() }
    }

    /// All known regions, in the order of their codes.
    pub fn all() -> impl Iterator<Item = Region> {
        REGIONS.iter().copied()
    }

    /// Whether it uses North American numbers, which have no prefix.
    pub(crate) fn is_of_north_america(self) -> bool {
        self.first.is_empty()
    }

    /// For all except North America: the whole number, in groups, with dots only between pairs.
    pub(crate) fn writes(self, digits: &[u8], groups: &[usize], written: &str) -> bool {
        (2..=6).contains(&groups.len())
            && groups[0] >= 2
            && self.first.contains(&digits[0])
            && !digits.starts_with(b"00")
            && (self.least_digits..=self.most_digits).contains(&digits.len())
            && (!written.contains('.') || groups == [2; 5])
    }
}
