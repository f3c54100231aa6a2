//! Reading certificates, beyond verifying them.

use x509_parser::time::ASN1Time;

/// A time for people, `2026-11-29 16:40:28 UTC`; `None` if it is out of range.
pub(crate) fn date(time: &ASN1Time) -> Option<String> {
    let at = ASN1Time::from_timestamp(time.timestamp()).ok()?.to_datetime();
    let (date, clock) = ((at.year(), u8::from(at.month()), at.day()), (at.hour(), at.minute(), at.second()));
    Some(format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", date.0, date.1, date.2, clock.0, clock.1, clock.2))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn dates_are_in_utc() {
        let shown = |seconds| date(&ASN1Time::from_timestamp(seconds).unwrap()).unwrap();
        assert_eq!((shown(0), shown(951_827_696)), ("1970-01-01 00:00:00 UTC".to_owned(), "2000-02-29 12:34:56 UTC".to_owned()));
    }
}
