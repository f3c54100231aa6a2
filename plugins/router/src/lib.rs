//! Sends each message to the output whose rule it matches. The rules are configuration, and change while it runs.

mod fields;
mod rule;
mod rules;
mod settings;

pub use rules::{Rules, Take};
pub use settings::Settings;

use weir::{Failure, Message, Params, Result, context};

/// The output for messages that match no rule.
const REST: &str = "rest";

weir::processor!(route, setup = check);

/// The status shows rules that cannot work, and the previous rules stay in effect.
fn check(_changed: &[String]) -> Result {
    let Params(settings) = Params::<Settings>::get()?;
    settings.rules()?.check_outputs(&context::outputs()).map_err(|fault| Failure::retry(settings.place() + ": " + &fault))
}

fn route(Params(settings): Params<Settings>, message: Message) -> Result {
    let rules = settings.rules()?;
    let outputs = rules.outputs_for(&message, settings.take);
    let Some((last, others)) = outputs.split_last() else {
        return unmatched(message, &settings);
    };
    others.iter().try_for_each(|output| weir::send(output, message.clone()))?;
    weir::send(last, message)
}

fn unmatched(message: Message, settings: &Settings) -> Result {
    if context::outputs().iter().any(|output| output == REST) {
        return weir::send(REST, message);
    }
    Err(Failure::reject(format!(
        "no rule of {} matches: add one for such messages, or give the output `{REST}` a topic in the blueprint",
        settings.place()
    )))
}

#[cfg(test)]
mod tests;
