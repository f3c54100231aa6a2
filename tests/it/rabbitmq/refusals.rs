//! What `weir up` reports if a broker refuses it: one clear error that names the setting and the fix.

use serde_json::json;
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::weir::command;

use super::up::user_of;

/// Runs `weir up`, which must exit on its own: returns its exit code and standard error.
async fn ended(environment: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let arguments: Vec<&str> = ["up", "--listen", "127.0.0.1:0"].iter().chain(arguments).copied().collect();
    let mut command = command(folder.path(), &arguments);
    command.envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Checks that it exits as for a wrong setting, with all of these words and without the password.
async fn check(case: &str, url: &str, exit: i32, words: &[&str]) {
    let (code, said) = ended(&[("WEIR_BROKER_URL", url)], &[]).await;
    assert_eq!(code, Some(exit), "{case}: {said}");
    assert_eq!(said.matches("error:").count(), 1, "{case}: {said}");
    for word in words {
        assert!(said.contains(word), "{case}: no {word:?} in {said}");
    }
    assert!(!said.contains("secret") && said.contains("next:") && !said.contains("retrying"), "{case}: {said}");
}

#[tokio::test]
async fn a_broker_that_refuses_is_one_clear_error() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let (api, user) = (broker.management(), user_of(&vhost, broker).await);
    let name = vhost.name();
    api.put_user(&user, "secret-right").await;
    check("wrong password", &broker.url_as(&user, "secret-wrong", name), 78, &[&user, "the password of broker.url"]).await;
    let right = |vhost: &str| broker.url_as(&user, "secret-right", vhost);
    check("missing vhost", &right("no-such-vhost"), 78, &["virtual host `no-such-vhost` of broker.url", "add_vhost"]).await;
    api.delete(&format!("permissions/{name}/{user}")).await;
    check("no permission on the vhost", &right(name), 78, &[&format!("virtual host `{name}`"), "set_permissions"]).await;
    api.permit(&user, name, "^$", "^$", "^$").await;
    check("no rights in the vhost", &right(name), 78, &["ACCESS_REFUSED", "rabbitmqctl set_permissions -p"]).await;
    api.permit(&user, name, "^tg$", ".*", ".*").await;
    check("no rights on queues", &right(name), 78, &["ACCESS_REFUSED", "rabbitmqctl set_permissions -p"]).await;
    api.permit(&user, name, ".*", ".*", ".*").await;
    let limit = format!("user-limits/{user}/max-connections");
    api.put(&limit, &json!({"value": 0})).await;
    check("no connections left", &right(name), 78, &["limit", "each process of Weir uses 4 connections"]).await;
    api.delete(&limit).await;
    // The previous user could create it.
    api.delete(&format!("exchanges/{name}/tg")).await;
    api.put(&format!("exchanges/{name}/tg"), &json!({"type": "fanout", "durable": true})).await;
    check("exchange of another type", &right(name), 78, &["exchange `tg`", "delete", "`topicspace`"]).await;
    api.delete(&format!("users/{user}")).await;
}

#[tokio::test]
async fn a_wrong_url_is_a_wrong_setting_and_shows_no_password() {
    let form = "amqp://USER:PASSWORD@HOST:PORT";
    for (url, problem) in [
        ("", "the URL is empty"),
        ("ampq://u:secret@host", "unknown broker scheme `ampq`"),
        ("u:secret@host", "the scheme is missing"),
        ("amqp://u:secret@host:port", "the port of `host`"),
        ("amqp://u:secret@", "a host is missing"),
        ("amqp://u:sec/secret@host", "in the password as %2F"),
        ("amqp://u:secret@host/v?x=1", "parameters after `?`"),
    ] {
        check(url, url, 78, &["environment, WEIR_BROKER_URL: broker.url", problem, form]).await;
        let (code, said) = ended(&[], &["--broker", url]).await;
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains("command line, --broker: broker.url") && !said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn a_url_in_the_wrong_place_shows_no_password() {
    for arguments in [&["amqp://u:secret@host"][..], &["--brokr=amqp://u:secret@host"], &["--set", "brokr.url=amqp://u:secret@host"]] {
        let (code, said) = ended(&[], arguments).await;
        assert_eq!(code, Some(64), "{said}");
        assert!(!said.contains("secret") && said.contains("error:"), "{said}");
    }
}

#[tokio::test]
async fn files_for_tls_are_checked() {
    let encrypted = ("WEIR_BROKER_URL", "amqps://u:secret@127.0.0.1:1");
    for (environment, problem) in [
        (&[("WEIR_BROKER_CA_FILE", "/no-such-file")][..], "broker.ca-file: applies only to TLS: use `amqps://`"),
        (&[encrypted, ("WEIR_BROKER_KEY_FILE", "k")], "broker.key-file: requires broker.certificate-file"),
        (&[encrypted, ("WEIR_BROKER_CERTIFICATE_FILE", "c")], "broker.certificate-file: requires broker.key-file"),
        (&[encrypted, ("WEIR_BROKER_CA_FILE", "/no-such-file")], "broker.ca-file: /no-such-file cannot be read"),
    ] {
        let (code, said) = ended(environment, &[]).await;
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(problem) && !said.contains("secret"), "{problem}: {said}");
    }
}
