//! A list of rules.

use crate::fields::Fields;
use crate::rule::{Rule, Seen, shown};
use serde::Deserialize;
use serde_json::Value;
use weir::Message;

/// The maximum number of rules in a list: each is tried on each message.
const MAX_RULES: usize = 256;

/// Which of the matching rules apply.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Take {
    /// The first one.
    First,
    /// Each of them.
    All,
}

/// Rules in order, ready to be tried.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<Value>")]
pub struct Rules {
    rules: Vec<Rule>,
    fields: Fields,
}

impl TryFrom<Vec<Value>> for Rules {
    type Error = String;

    fn try_from(written: Vec<Value>) -> Result<Self, String> {
        if written.len() > MAX_RULES {
            return Err(format!("there are {} rules; the limit is {MAX_RULES}: route in two steps", written.len()));
        }
        let mut fields = Fields::default();
        let rule = |(at, written): (usize, Value)| Rule::read(written, &mut fields).map_err(|fault| format!("rule {}: {fault}", at + 1));
        let rules = written.into_iter().enumerate().map(rule).collect::<Result<_, _>>()?;
        Ok(Self { rules, fields })
    }
}

impl Rules {
    /// Checks that a flow has all outputs named by the rules.
    ///
    /// # Errors
    /// The first rule that names another one, with the existing outputs.
    pub fn check_outputs(&self, outputs: &[String]) -> Result<(), String> {
        let Some((at, rule)) = self.rules.iter().enumerate().find(|(_, rule)| !outputs.contains(&rule.to)) else { return Ok(()) };
        let known = if outputs.is_empty() { "none".to_owned() } else { outputs.join(", ") };
        Err(format!(
            "rule {}: field `to` is the output `{}`, which this flow does not have (it has {known}): use one of them, or give it a topic in \
                 the blueprint",
            at + 1,
            shown(&rule.to)
        ))
    }

    /// The outputs of a message, each once, in the order of the rules.
    #[must_use]
    pub fn outputs_for(&self, message: &Message, take: Take) -> Vec<&str> {
        let seen = Seen::new(message, &self.fields);
        let matching = self.rules.iter().filter(|rule| rule.matches(&seen)).map(|rule| rule.to.as_str());
        let mut outputs = Vec::new();
        for output in matching.take(if take == Take::First { 1 } else { usize::MAX }) {
            if !outputs.contains(&output) {
                outputs.push(output);
            }
        }
        outputs
    }
}
