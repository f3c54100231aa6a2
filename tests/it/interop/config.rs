//! `tg-put-config-item`, `tg-get-config-item`, `tg-list-config-items`, `tg-show-config` and `tg-delete-config-item`.

use serde_json::{Value, json};
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::weir::Weir;

use super::processors::weir;
use super::tools::run;

const TOKEN: &str = "the-token-of-this-weir";
const TEXT: &str = "Grüß Gott,\n \"world\"";

/// `--type TYPE --key KEY` and what follows.
fn item<'a>(key: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--type", "prompt", "--key", key], more].concat()
}

#[tokio::test]
async fn configuration_is_put_read_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    put_read_listed_and_deleted(&Weir::up(folder.path()).await).await;
}

#[tokio::test]
async fn configuration_is_put_read_listed_and_deleted_over_rabbitmq() {
    let vhost = Broker::shared().await.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    put_read_listed_and_deleted(&weir(&vhost, folder.path()).await).await;
}

async fn put_read_listed_and_deleted(weir: &Weir) {
    let put = async |key: &str, value: &str| run(weir, None, "tg-put-config-item", &item(key, &["--value", value])).await;
    let (greeting, list) = tokio::join!(put("greeting", TEXT), put("list", "[1]"));
    assert_eq!((greeting.as_str(), list.as_str()), ("Configuration item set: prompt/greeting\n", "Configuration item set: prompt/list\n"));
    assert_eq!(weir.must(&["config", "get", "prompt", "greeting"]).await, format!("{TEXT}\n"));

    let get = async |key: &str, format: &str| run(weir, None, "tg-get-config-item", &item(key, &["--format", format])).await;
    let (text, as_json, missing, keys, everything) = tokio::join!(
        get("greeting", "text"),
        get("greeting", "json"),
        get("nothing", "text"),
        run(weir, None, "tg-list-config-items", &["--type", "prompt", "--format", "json"]),
        run(weir, None, "tg-show-config", &[]),
    );
    assert_eq!(text, format!("{TEXT}\n"));
    assert_eq!(serde_json::from_str::<Value>(&as_json).unwrap(), json!(TEXT));
    // A missing value is `null` to it.
    assert_eq!(missing, "None\n");
    assert_eq!(serde_json::from_str::<Value>(&keys).unwrap(), json!(["greeting", "list"]));
    let (version, config) = everything.split_once('\n').unwrap();
    assert_eq!(version, format!("Version: {}", weir.get("/api/v1/weir/status").await["config-version"]));
    assert_eq!(serde_json::from_str::<Value>(config).unwrap()["prompt"], json!({"greeting": TEXT, "list": "[1]"}));

    let greeting = item("greeting", &[]);
    let deleted = run(weir, None, "tg-delete-config-item", &greeting).await;
    assert_eq!(deleted, "Configuration item deleted: prompt/greeting\n");
    let (again, keys) =
        tokio::join!(run(weir, None, "tg-delete-config-item", &greeting), run(weir, None, "tg-list-config-items", &["--type", "prompt"]));
    assert_eq!((again, keys), (deleted, "list\n".to_owned()), "what is not there is no error to delete");
}

#[tokio::test]
async fn configuration_requires_the_token_if_configured() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up_in(folder.path(), &[], &[("WEIR_TOKEN", TOKEN)]).await;
    let put = item("greeting", &["--value", "1"]);
    let wrong = [&put[..], &["-t", "the-token-of-another"]].concat();
    let (none, wrong) = tokio::join!(run(&weir, None, "tg-put-config-item", &put), run(&weir, Some(TOKEN), "tg-put-config-item", &wrong));
    assert_eq!((none.as_str(), wrong.as_str()), ("Exception: Status code 401\n", "Exception: Status code 401\n"));
    assert_eq!(weir.run(&["config", "get", "prompt", "greeting"]).await.status.code(), Some(1), "nothing was stored");

    let named = [&put[..], &["--token", TOKEN]].concat();
    assert_eq!(run(&weir, None, "tg-put-config-item", &named).await, "Configuration item set: prompt/greeting\n");
    let greeting = item("greeting", &[]);
    let (value, keys, everything) = tokio::join!(
        run(&weir, Some(TOKEN), "tg-get-config-item", &greeting),
        run(&weir, Some(TOKEN), "tg-list-config-items", &["--type", "prompt"]),
        run(&weir, Some(TOKEN), "tg-show-config", &[]),
    );
    assert_eq!((value.as_str(), keys.as_str()), ("1\n", "greeting\n"));
    assert!(everything.contains("\"greeting\": \"1\""), "{everything}");
    run(&weir, Some(TOKEN), "tg-delete-config-item", &greeting).await;
    assert_eq!(weir.run(&["config", "get", "prompt", "greeting"]).await.status.code(), Some(1));
}
