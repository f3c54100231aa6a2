//! The precedence of sources, and that all faults are reported.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::args::{AccessFlags, RoleFlags};

fn load_with(file: &str, environment: &[(&str, &str)], flags: &SettingFlags) -> Result<Loaded, Problem> {
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load_from(Some(("f".into(), file.to_owned())), environment.collect::<Vec<_>>().into_iter(), flags)
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let flags = RoleFlags { grace: Some("3s".to_owned()), set: vec!["retry.attempts=9".to_owned()], ..RoleFlags::default() }.into();
    let file = "grace = \"1s\"\n[retry]\nattempts = 7\nbusy = \"1h\"\n[gateway]\nfull-time = \"5s\"";
    let environment = [("WEIR_GRACE", "2s"), ("WEIR_GATEWAY_FULL_TIME", "6s"), ("WEIR_LOG", "debug"), ("WEIR_DATA", "x"), ("OTHER", "y")];
    let loaded = load_with(file, &environment, &flags).unwrap();
    let settings = &loaded.settings;
    assert_eq!((settings.grace, settings.gateway.full_queue_timeout), (Duration::from_secs(3), Duration::from_secs(6)));
    assert_eq!((settings.retry.attempts_count, settings.retry.busy_ms, settings.log_filter.as_str()), (9, 3_600_000, "debug"));
    let place = |name: &str| loaded.place(list::find(name).unwrap()).map(ToString::to_string);
    assert_eq!(place("grace").unwrap(), "command line, --grace");
    assert_eq!(place("retry.attempts").unwrap(), "command line, --set");
    assert_eq!(place("gateway.full-time").unwrap(), "environment, WEIR_GATEWAY_FULL_TIME");
    assert_eq!(place("retry.busy").unwrap(), "f, line 4, column 8");
    assert_eq!((place("listen"), loaded.notes.len()), (None, 0));
}

#[test]
fn all_faults_of_all_sources_are_reported_at_once() {
    let flags = SettingFlags {
        of_roles: RoleFlags { set: vec!["retry.atempts=9".to_owned(), "grace".to_owned()], ..RoleFlags::default() },
        access: AccessFlags { listen: Some("here".to_owned()), ..AccessFlags::default() },
        ..SettingFlags::default()
    };
    let problem = load_with("grace = 1", &[("WEIR_LOG_FORMAT", "jsn")], &flags).unwrap_err();
    assert_eq!((problem.exit, problem.to_string().as_str()), (Exit::Settings, "5 invalid settings"));
    let of_flags = load_with("", &[], &flags).unwrap_err();
    assert_eq!((of_flags.exit, of_flags.to_string().as_str()), (Exit::Usage, "3 invalid settings"));
}

#[test]
fn a_variable_similar_to_a_setting_is_noted() {
    let loaded = load_with("", &[("WEIR_GRACEE", "1s"), ("WEIR_SEED", "1"), ("WEIR_GATEWAY", "x")], &SettingFlags::default()).unwrap();
    assert_eq!(loaded.notes, ["the environment has WEIR_GRACEE, which is not a setting; did you mean WEIR_GRACE?"]);
}

#[test]
fn the_file_of_init_sets_nothing_and_documents_everything() {
    let text = template();
    let quiet = load_with(&text, &[], &SettingFlags::default()).unwrap();
    assert!(all().all(|definition| quiet.place(definition).is_none()));
    // With every default uncommented, it gives exactly the defaults.
    let spoken: Vec<&str> = text.lines().map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line)).collect();
    let spoken = load_with(&spoken.join("\n"), &[], &SettingFlags::default()).unwrap();
    let mut with_default = all().filter(|definition| definition.has_default());
    assert!(with_default.all(|definition| spoken.place(definition).is_some() && spoken.value(definition) == definition.default()));
}

#[test]
fn an_empty_path_is_refused_wherever_it_is_given() {
    let access = AccessFlags { token_file: Some(String::new()), ..AccessFlags::default() };
    let flags = SettingFlags { access, ..SettingFlags::default() };
    assert_eq!(load_with("", &[], &flags).unwrap_err().exit, Exit::Usage);
    assert!(load_with("", &[("WEIR_GATEWAY_TOKEN_FILE", "")], &SettingFlags::default()).is_err());
    assert!(load_with("[gateway]\ntoken-file = \" \"", &[], &SettingFlags::default()).is_err());
}

#[test]
fn certificate_and_key_belong_together_and_a_proxy_takes_their_place() {
    let fault =
        |file: &str| load_with(file, &[], &SettingFlags::default()).err().map(|problem| problem.details().collect::<Vec<_>>().join("\n"));
    assert_eq!(fault("[gateway]\ntls-cert = \"a\"\ntls-key = \"b\""), None);
    assert_eq!(fault("[gateway]\nbehind-proxy = \"yes\""), None);
    for (file, problem) in [
        ("[gateway]\ntls-cert = \"a\"", "gateway.tls-cert: requires gateway.tls-key: set both or none"),
        ("[gateway]\ntls-key = \"a\"", "gateway.tls-key: requires gateway.tls-cert: set both or none"),
        (
            "[gateway]\ntls-cert = \"a\"\ntls-key = \"b\"\nbehind-proxy = \"yes\"",
            "gateway.behind-proxy: means that the gateway does no TLS",
        ),
    ] {
        let found = fault(file).unwrap();
        assert!(found.contains(problem), "{found}");
    }
}
