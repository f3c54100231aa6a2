//! The files that control access to the gateway: tokens, certificate and key.

use std::path::Path;
use std::time::SystemTime;

use weir_gateway::Validity;
use weir_pubsub::chain;

use super::finding::{Finding, fail, ok, warn};
use crate::permissions;
use crate::roles::{RENEWAL_TIME, check_access, identity};
use crate::settings::Settings;
use crate::token::TokenFile;

/// Checks all files that are set.
pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let files = settings.tls_cert.as_deref().zip(settings.tls_key.as_deref());
    let of_address = address(settings);
    let of_certificate = files.map(|(file, key)| certificate(file, key));
    let of_key = files.and_then(|(_, file)| key(file));
    of_address.into_iter().chain(settings.token_file.as_deref().map(tokens)).chain(of_certificate).chain(of_key).collect()
}

/// What is missing for an address that other machines can reach.
fn address(settings: &Settings) -> Option<Finding> {
    let has_tokens = settings.token_file.is_some() || std::env::var_os("WEIR_TOKEN").is_some();
    let problem = check_access(settings.listen, has_tokens, settings.tls_cert.is_some() || settings.behind_proxy).err()?;
    let details: String = problem.details().map(|detail| format!("\n- {detail}")).collect();
    Some(fail("listen", format!("{problem}{details}"), problem.next_step().unwrap_or_default()))
}

fn tokens(file: &Path) -> Finding {
    const CHECK: &str = "token file";
    match TokenFile::read(file) {
        Err(problem) => fail(CHECK, chain(&problem), "write a line `SCOPE TOKEN` for each token, where SCOPE is read, operate or deploy"),
        Ok(_) => match permissions::token_readable(file) {
            Some(what) => warn(CHECK, what, format!("chmod 600 {}, and replace the tokens if others may have read them", file.display())),
            None => ok(CHECK, format!("{}, readable only by its owner", file.display())),
        },
    }
}

fn certificate(file: &Path, key: &Path) -> Finding {
    const CHECK: &str = "certificate";
    const RENEW: &str = "renew it: write the new certificate and key to the same files, and send the gateway's process SIGHUP";
    let shown = file.display();
    match identity(file, key).map(|identity| identity.validity(SystemTime::now())) {
        Err(problem) => fail(CHECK, chain(&problem), problem.next_step().unwrap_or_default()),
        Ok(Validity::Expired { since }) => fail(CHECK, format!("{shown} expired on {since}: clients reject it"), RENEW),
        Ok(Validity::NotYet { from }) => {
            fail(CHECK, format!("{shown} is not valid before {from}: clients reject it"), "check the clock of this machine, or replace it")
        }
        Ok(Validity::Valid { until, left }) => {
            let text = format!("{shown} is valid until {until}, for {} more days", left.as_secs() / 86_400);
            if left < RENEWAL_TIME { warn(CHECK, text, RENEW) } else { ok(CHECK, text) }
        }
    }
}

fn key(file: &Path) -> Option<Finding> {
    let what = permissions::key_readable(file)?;
    Some(warn("TLS key", what, format!("chmod 640 {}, and replace key and certificate if others may have read it", file.display())))
}
