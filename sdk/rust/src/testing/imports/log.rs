//! `log`: lines with fields. Without a running instance they are discarded: helpers that log can be tested like any function.

use crate::log::Level;
use crate::testing::LogLine;
use crate::testing::instance::with;

pub(crate) fn enabled(_: Level) -> bool {
    with(|_| ()).is_some()
}

pub(crate) fn write(level: Level, message: &str, fields: &[(String, String)]) {
    with(|instance| instance.call.log.push(LogLine { level, message: message.to_owned(), fields: fields.to_vec() }));
}
