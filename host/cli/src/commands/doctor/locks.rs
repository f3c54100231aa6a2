//! The holders of the locks of services that run only once at a time, or why a lock cannot be held.

use weir_config::names::{CONFIG_SERVICE, FLOW_SERVICE, Service};
use weir_pubsub::{Backend, LockHolder, PubsubError, Result, chain};

use super::finding::{Finding, fail, ok, warn};

/// Checks both locks, without disturbing the processes that hold them or stand by.
pub(super) async fn check(backend: &dyn Backend, topicspace: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (check, service) in [("config lock", CONFIG_SERVICE), ("flow lock", FLOW_SERVICE)] {
        // An invalid topicspace is reported by the check of the settings.
        let Ok(lock) = service.lock(topicspace) else { continue };
        findings.push(finding(check, service, backend.inspect().lock_holder(&lock).await));
    }
    findings
}

/// What to do about a lock that cannot be looked at.
const NODE_NEXT: &str =
    "bring the broker back, on RabbitMQ the node with the lock (docs/rabbitmq.md, Locks); until then no process can acquire the lock";

fn finding(check: &'static str, service: Service, holder: Result<Option<LockHolder>>) -> Finding {
    let name = service.name();
    match holder {
        Ok(Some(LockHolder { process: Some(process) })) => ok(check, format!("{process} runs the {name} service")),
        Ok(Some(LockHolder { process: None })) => {
            let what = format!("one process runs the {name} service; broker.management shows which one, a few seconds after it started");
            ok(check, what)
        }
        Ok(None) => warn(
            check,
            format!("no process runs the {name} service"),
            format!("start one; if one was started, its log shows why it does not run the {name} service"),
        ),
        Err(error @ PubsubError::Unavailable { .. }) => fail(check, chain(&error), NODE_NEXT),
        Err(error) => fail(check, chain(&error), "fix the cause above; services on standby then continue without a restart"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn the_lock_holder_is_named_as_far_as_known() {
        let found = |holder| {
            let Finding { grade, what, .. } = finding("flow lock", FLOW_SERVICE, holder);
            (grade, what)
        };
        let process = Some("process 7 on machine".to_owned());
        assert_eq!(found(Ok(Some(LockHolder { process }))), (Grade::Ok, "process 7 on machine runs the flow service".to_owned()));
        assert_eq!(found(Ok(Some(LockHolder { process: None }))).0, Grade::Ok);
        assert_eq!(found(Ok(None)), (Grade::Warn, "no process runs the flow service".to_owned()));
        assert_eq!(found(Err(PubsubError::unavailable("its node is away"))).0, Grade::Fail);
        assert_eq!(found(Err(PubsubError::refused("it is another queue"))).0, Grade::Fail);
    }
}
