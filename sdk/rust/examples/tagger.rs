//! Configuration that is parsed once, and `setup`, as docs/writing-a-processor.md shows them.
#![allow(missing_docs, reason = "an author's first crate has none")]

use serde::Deserialize;
use weir::{Message, Result, config};

weir::processor!(tag, setup = check, descriptor = "examples/tagger.json");

#[derive(Deserialize)]
struct Rule {
    contains: String,
    tag: String,
}

/// Shows a rule that cannot be read in the status, before any message is taken.
fn check(_changed: &[String]) -> Result {
    config::parsed_all::<Rule>("tag-rule").map(drop)
}

fn tag(message: Message) -> Result<Message> {
    let rules = config::parsed_all::<Rule>("tag-rule")?;
    let text = message.text()?;
    let tags: Vec<&str> = rules.values().filter(|rule| text.contains(&rule.contains)).map(|rule| rule.tag.as_str()).collect();
    let tags = tags.join(" ");
    Ok(message.with_property("tags", tags))
}

#[cfg(test)]
mod tests {
    use weir::testing::json;
    use weir::{Message, Text};

    #[test]
    fn rules_apply_from_the_next_message_on() {
        let mut kit = weir::testing::kit!();
        let tags = |kit: &mut weir::testing::Kit| {
            let messages: Vec<Message> = kit.handle("input", Text("an invoice")).outputs("output");
            messages[0].property("tags").map(str::to_owned)
        };
        assert_eq!(tags(&mut kit).as_deref(), Some(""));
        kit.config("tag-rule", "bills", json!({ "contains": "invoice", "tag": "bill" }).to_string());
        assert_eq!(tags(&mut kit).as_deref(), Some("bill"));
    }

    #[test]
    fn a_faulty_rule_prevents_the_start() {
        let refusal = weir::testing::kit!().config("tag-rule", "bills", "{}").configure();
        assert!(refusal.is_err_and(|reason| reason.contains("key `bills`") && reason.contains("missing field `contains`")));
    }
}
