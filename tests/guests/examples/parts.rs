//! Answers requests: `{"parts": N}` with N parts, the numbers from 0; `{"parts": N, "fail": VERDICT}` fails after them instead of marking
//! the last; `{"parts": N, "open": true}` returns without marking the last; `{"twice": true}` answers again after the last part and reports
//! the result by failing.

use serde::Deserialize;
use weir::{Failure, Json, Result};

#[derive(Deserialize)]
struct Question {
    #[serde(default = "one")]
    parts: u32,
    fail: Option<Verdict>,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    twice: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Retry,
    Reject,
    Busy,
    Trap,
}

fn one() -> u32 {
    1
}

weir::processor!(handle, descriptor = "examples/parts.json");

fn handle(Json(question): Json<Question>) -> Result {
    let all_open = question.fail.is_some() || question.open;
    for part in 0..question.parts {
        let last = part + 1 == question.parts && !all_open;
        if last { weir::reply(Json(part))? } else { weir::reply_part(Json(part))? }
    }
    if question.twice {
        weir::reply(Json("again"))?;
    }
    match question.fail {
        Some(Verdict::Retry) => Err(Failure::retry("told to fail")),
        Some(Verdict::Reject) => Err(Failure::reject("told to fail")),
        Some(Verdict::Busy) => Err(Failure::busy("told to fail")),
        Some(Verdict::Trap) => panic!("told to trap"),
        None => Ok(()),
    }
}
