//! The parameters.

use crate::kind::Kind;
use crate::region::Region;
use serde::Deserialize;

/// The replacement of a find.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Replacement {
    /// The kind, for example `[CARD]`.
    Label,
    /// The kind and the last four letters or digits, for example `[CARD 1111]`, if [`Kind::may_keep_last_4`]; otherwise the kind.
    #[serde(rename = "last-4")]
    Last4,
}

/// What to redact, where and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Parameters")]
pub struct Settings {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) fields: Vec<String>,
    pub(crate) replacement: Replacement,
    pub(crate) regions: Vec<Region>,
}

/// The raw parameters.
#[derive(Deserialize)]
struct Parameters {
    kinds: String,
    fields: String,
    replacement: Replacement,
    regions: String,
}

impl Settings {
    /// Settings from the parameters described in the descriptor.
    ///
    /// # Errors
    /// A text that names the parameter, the unknown value in it, and the known ones.
    pub fn new(kinds: &str, fields: &str, replacement: Replacement, regions: &str) -> Result<Self, String> {
        let all_kinds: Vec<_> = Kind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
        let all_regions: Vec<_> = Region::all().map(|region| (region.code, region)).collect();
        let fields = words(fields).map(str::to_owned).collect::<Vec<_>>();
        if fields.is_empty() {
            return Err("parameter `fields` is empty: give the field that contains the text, such as `text`".to_owned());
        }
        Ok(Self {
            kinds: chosen("kinds", kinds, "all", &all_kinds)?.unwrap_or_else(|| Kind::ALL.to_vec()),
            fields,
            replacement,
            regions: chosen("regions", regions, "none", &all_regions)?.unwrap_or_default(),
        })
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }
}

impl TryFrom<Parameters> for Settings {
    type Error = String;

    fn try_from(parameters: Parameters) -> Result<Self, String> {
        Self::new(&parameters.kinds, &parameters.fields, parameters.replacement, &parameters.regions)
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// The items of a list by their names; `None` if the list is just `word`, which is a choice of its own.
fn chosen<T: Copy>(parameter: &str, list: &str, word: &str, known: &[(&str, T)]) -> Result<Option<Vec<T>>, String> {
    if list.trim() == word {
        return Ok(None);
    }
    let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let mut items = Vec::new();
    for name in words(list) {
        let Some((_, item)) = known.iter().find(|(known, _)| *known == name) else {
            let shown: String = name.chars().take(40).collect();
            return Err(format!("parameter `{parameter}` contains `{shown}`; must be one of: {}; or `{word}` alone", names()));
        };
        items.push(*item);
    }
    if items.is_empty() {
        return Err(format!("parameter `{parameter}` is empty: write `{word}`, or some of {}, separated by commas", names()));
    }
    Ok(Some(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let settings = Settings::new("email, card", "text", Replacement::Label, "de,us").unwrap();
        assert_eq!(settings.kinds, [Kind::Email, Kind::Card]);
        assert_eq!(settings.regions.iter().map(|region| region.code).collect::<Vec<_>>(), ["de", "us"]);
        let settings = Settings::new("all", "text,title", Replacement::Label, "none").unwrap();
        assert_eq!((settings.kinds.as_slice(), settings.regions.len(), settings.fields.len()), (Kind::ALL, 0, 2));
    }

    #[test]
    fn faults_name_parameter_value_and_what_is_known() {
        let check = |kinds: &str, fields: &str, regions: &str, words: &[&str]| {
            let fault = Settings::new(kinds, fields, Replacement::Label, regions).unwrap_err();
            for word in words {
                assert!(fault.contains(word), "{fault}");
            }
        };
        check("email,ssn", "text", "us", &["`kinds`", "`ssn`", "private-key, token, secret, iban, card, email, phone", "`all`"]);
        check("email,all", "text", "us", &["`kinds`", "`all`; must be one of"]);
        check("", "text", "us", &["`kinds` is empty", "`all`"]);
        check("all", " , ", "us", &["`fields` is empty", "`text`"]);
        check("all", "text", "us,xx", &["`regions`", "`xx`", "de, es", "`none`"]);
    }
}
