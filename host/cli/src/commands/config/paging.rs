//! Reads configurations that may exceed one answer: those stored by earlier versions can be above today's limit.

use std::collections::BTreeMap;

use serde_json::json;

use super::response::{ConfigResponse, Stored, Values, ask};
use crate::commands::Session;
use crate::problem::Problem;

/// Everything, type by type; the version is the lowest of all answers.
pub(super) async fn all(session: &Session) -> Result<(u64, Values), Problem> {
    let ConfigResponse { mut version, directory, .. } = ask(session, &json!({"operation": "list-types"})).await?;
    let mut all = Values::new();
    for config_type in directory {
        let (read, keys) = values(session, &config_type).await?;
        version = version.min(read);
        all.insert(config_type, keys);
    }
    Ok((version, all))
}

/// The values of a type, one by one if necessary.
pub(super) async fn values(session: &Session, config_type: &str) -> Result<(u64, BTreeMap<String, String>), Problem> {
    let problem = match ask(session, &json!({"operation": "getvalues", "type": config_type})).await {
        Ok(answer) => return Ok((answer.version, of(answer.values).collect())),
        Err(problem) => problem,
    };
    let one_by_one = async {
        let ConfigResponse { mut version, directory, .. } = ask(session, &json!({"operation": "list", "type": config_type})).await?;
        let mut keys = BTreeMap::new();
        for key in directory {
            let answer = ask(session, &json!({"operation": "get", "keys": [{"type": config_type, "key": key}]})).await?;
            version = version.min(answer.version);
            keys.extend(of(answer.values));
        }
        Ok((version, keys))
    };
    // The first problem is more informative.
    one_by_one.await.map_err(|_: Problem| problem)
}

fn of(values: Vec<Stored>) -> impl Iterator<Item = (String, String)> {
    values.into_iter().filter_map(|stored| Some((stored.key, stored.value?)))
}
