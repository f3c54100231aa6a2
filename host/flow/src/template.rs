//! Templates: `{id}`, `{blueprint}` and `{parameter}`.

use std::collections::BTreeMap;

/// The variable of the flow's id.
pub const ID: &str = "id";
/// The variable of the blueprint's name.
pub const BLUEPRINT: &str = "blueprint";

/// The values of variables in one flow.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The flow's id.
    pub id: &'a str,
    /// The blueprint's name.
    pub blueprint: &'a str,
    /// Values by parameter name.
    pub parameters: &'a BTreeMap<String, String>,
}

impl Scope<'_> {
    /// Replaces the variables of a template. Unknown ones are kept; values are not expanded.
    pub fn render(&self, template: &str) -> String {
        let mut text = String::with_capacity(template.len());
        for piece in pieces(template) {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Variable { name, whole } => text.push_str(self.value(name).unwrap_or(whole)),
            }
        }
        text
    }

    /// The first undefined variable of a template.
    pub fn unknown_in<'t>(&self, template: &'t str) -> Option<&'t str> {
        pieces(template).find_map(|piece| match piece {
            Piece::Variable { name, .. } if self.value(name).is_none() => Some(name),
            _ => None,
        })
    }

    fn value(&self, name: &str) -> Option<&str> {
        match name {
            ID => Some(self.id),
            BLUEPRINT => Some(self.blueprint),
            _ => self.parameters.get(name).map(String::as_str),
        }
    }
}

/// Whether a template contains a variable.
pub fn mentions(template: &str, variable: &str) -> bool {
    pieces(template).any(|piece| matches!(piece, Piece::Variable { name, .. } if name == variable))
}

enum Piece<'t> {
    Text(&'t str),
    Variable { name: &'t str, whole: &'t str },
}

/// Splits a template at its variables: a name between braces that contains no braces.
fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((start, end)) = next_variable(rest) else {
            return Some(Piece::Text(std::mem::take(&mut rest)));
        };
        let (piece, length) = match start {
            0 => (Piece::Variable { name: &rest[1..end], whole: &rest[..=end] }, end + 1),
            _ => (Piece::Text(&rest[..start]), start),
        };
        rest = &rest[length..];
        Some(piece)
    })
}

/// Where the next variable opens and closes: at the first `}` that has a `{` before it, and the last such `{`.
fn next_variable(text: &str) -> Option<(usize, usize)> {
    let mut open = None;
    for (at, byte) in text.bytes().enumerate() {
        match (byte, open) {
            (b'{', _) => open = Some(at),
            (b'}', Some(start)) => return Some((start, at)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parameters() -> BTreeMap<String, String> {
        BTreeMap::from([("size".to_owned(), "100".to_owned()), ("tricky".to_owned(), "{id}".to_owned())])
    }

    #[test]
    fn variables_are_replaced_and_unknown_ones_kept() {
        let parameters = parameters();
        let scope = Scope { id: "one", blueprint: "text", parameters: &parameters };
        let check = |template: &str, expected: &str| assert_eq!(scope.render(template), expected, "{template}");
        check("flow:tg:x:{id}", "flow:tg:x:one");
        check("{blueprint}/{id}/{size}{size}", "text/one/100100");
        check("{unknown} {size}", "{unknown} 100");
        check("{{id}} } { {", "{one} } { {");
        check("{é{size}}", "{é100}");
        check("{tricky}", "{id}");
        check("", "");
    }

    #[test]
    fn unknown_variables_are_found_in_the_template_and_not_in_values() {
        let parameters = parameters();
        let scope = Scope { id: "one", blueprint: "text", parameters: &parameters };
        assert_eq!(scope.unknown_in("{id}-{nothing}-{else}"), Some("nothing"));
        assert_eq!(scope.unknown_in("{tricky}{blueprint}"), None);
        assert_eq!(scope.unknown_in("{}"), Some(""));
        assert!(mentions("a{id}", ID) && !mentions("a{ids}", ID));
    }

    proptest! {
        #[test]
        fn a_template_without_known_variables_is_unchanged(template in "[a-z{}é]{0,40}") {
            let parameters = BTreeMap::new();
            let scope = Scope { id: "1", blueprint: "2", parameters: &parameters };
            if !mentions(&template, ID) && !mentions(&template, BLUEPRINT) {
                prop_assert_eq!(scope.render(&template), template);
            }
        }

        #[test]
        fn rendering_equals_replacing_when_values_hold_no_braces(template in "[ab{}]{0,40}", value in "[xyz]{0,5}") {
            let parameters = BTreeMap::from([("a".to_owned(), value.clone())]);
            let scope = Scope { id: "1", blueprint: "2", parameters: &parameters };
            prop_assert_eq!(scope.render(&template), template.replace("{a}", &value));
        }
    }
}
