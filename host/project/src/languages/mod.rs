//! The languages that a project can be written in. A further one is a folder here and a line in [`LANGUAGES`].

mod js;
mod language;
mod python;
mod rust;

use weir_pubsub::nearest;

pub(crate) use self::language::{BuildContext, sdk_folder};
pub use self::language::{Language, Purpose};

/// All languages.
pub const LANGUAGES: &[&Language] = &[&rust::RUST, &python::PYTHON, &js::JS, &js::TS];

/// A language by its name.
///
/// # Errors
/// A message with the name that was probably meant, and all valid names.
pub fn language(name: &str) -> Result<&'static Language, String> {
    LANGUAGES.iter().find(|language| language.name == name).copied().ok_or_else(|| {
        let names = || LANGUAGES.iter().map(|language| language.name);
        let meant = nearest(name, names()).map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default();
        let known = names().collect::<Vec<_>>().join(", ");
        format!("unknown language `{}`{meant}; must be one of: {known}", weir_pubsub::shown(name))
    })
}
