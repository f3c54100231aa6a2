//! Renders strings of the document as HTML.

use serde_json::Value;

/// A string of the document; empty if it is not a string.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The fields of an object; none if it is not an object.
pub(super) fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> + Clone {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// Escapes text.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Inline text, with `<code>` for what is between backticks.
pub(super) fn inline(text: &str) -> String {
    let part = |(at, part): (usize, &str)| if at % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) };
    text.split('`').enumerate().map(part).collect()
}

/// Paragraphs.
pub(super) fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs.map(|paragraph| format!("<p>{}</p>", inline(paragraph))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_unchanged_except_for_code_and_paragraphs() {
        assert_eq!(prose("a <b> & `\"c\"`\n\nd\ne"), "<p>a &lt;b&gt; &amp; <code>&quot;c&quot;</code></p><p>d\ne</p>");
        assert_eq!(prose(""), "");
    }
}
