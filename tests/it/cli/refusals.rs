//! Invalid blueprints, parameters and messages.

use std::fs;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use weir_tests::weir::Weir;

use super::{blueprint, check, start_echo};

#[tokio::test]
async fn a_bad_blueprint_is_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let refused = async |text: &str, exit: i32, expected: &Expect| {
        let file = folder.path().join("blueprint.json");
        fs::write(&file, text).unwrap();
        check(&weir.run(&["blueprint", "put", "b", file.to_str().unwrap()]).await, folder.path(), exit, expected);
    };
    refused(
        "{\n  \"flow\": {,\n}",
        65,
        &expect![[r#"
        error: the blueprint in DIR/blueprint.json is not JSON
          because: key must be a string at line 2 column 12
    "#]],
    )
    .await;
    let with = |key: &str, topic: &str| json!({"blueprint": {}, "flow": {key: {"topics": {"input": topic}}}, "interfaces": {}}).to_string();
    refused(&with("a:{id}", "floe:tg:in"), 1, &expect![[r#"
        error: section `flow`, processor `a:{id}`, topic `input`: topic `floe:tg:in` has the unknown class `floe`: it must be flow, request, response or notify
    "#]]).await;
    refused(
        &with("a", "flow:tg:in"),
        1,
        &expect![[r#"
        error: section `flow`, processor `a`: the key has no variant: write it as PROCESSOR:VARIANT, for example "chunker:{id}"
    "#]],
    )
    .await;
    refused(&with("a:{id}", "in"), 1, &expect![[r#"
        error: section `flow`, processor `a:{id}`, topic `input`: `in` is not a topic: write it as class:topicspace:name, for example flow:tg:text-load:default
    "#]]).await;
    let bare = json!({"blueprint": {}, "flow": {"a:{id}": {}}, "interfaces": {"in": "flow:tg:in"}}).to_string();
    refused(
        &bare,
        1,
        &expect![[r#"
        error: section `interfaces`, interface `in`: is a plain string: write {"flow": "flow:tg:in"}
    "#]],
    )
    .await;
    assert_eq!(weir.must(&["blueprint", "list", "--json"]).await, "[]\n");
    check(
        &weir.run(&["blueprint", "get", "b"]).await,
        folder.path(),
        1,
        &expect![[r#"
            error: there is no blueprint `b`
              next: weir blueprint list shows all blueprints
        "#]],
    );
}

#[tokio::test]
async fn a_bad_parameter_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    let types = json!({"size": {"type": "integer", "required": true}, "border": {"type": "string", "enum": ["sentence", "paragraph"], "default": "sentence"}});
    let value = |(key, value): (&String, &Value)| json!({"type": "parameter-type", "key": key, "value": value.to_string()});
    let values: Vec<Value> = types.as_object().unwrap().iter().map(value).collect();
    weir.post("/api/v1/config", &json!({"operation": "put", "values": values})).await;
    let file = folder.path().join("blueprint.json");
    fs::write(&file, blueprint("outside", &json!({"size": {"type": "size"}, "border": {"type": "border"}})).to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    let refused = async |parameters: &[&str], exit: i32, expected: &Expect| {
        let mut arguments = vec!["flow", "start", "b", "one"];
        arguments.extend_from_slice(parameters);
        check(&weir.run(&arguments).await, folder.path(), exit, expected);
    };
    refused(
        &[],
        1,
        &expect![[r#"
        error: parameter `size`: is required and has no default: give it a value
    "#]],
    )
    .await;
    refused(
        &["-p", "size=big"],
        1,
        &expect![[r#"
        error: parameter `size`: `big` is not a whole number
    "#]],
    )
    .await;
    refused(
        &["-p", "size=1", "-p", "border=page"],
        1,
        &expect![[r#"
        error: parameter `border`: `page` is not one of sentence, paragraph
    "#]],
    )
    .await;
    refused(
        &["-p", "size=1", "-p", "size=2"],
        64,
        &expect![[r#"
        error: parameter `size` is given twice
          next: give each parameter once
    "#]],
    )
    .await;
    refused(
        &["-p", "size"],
        64,
        &expect![[r#"
        error: invalid value 'size' for '--parameter <NAME=VALUE>': a parameter must be NAME=VALUE, for example -p size=400

        For more information, try '--help'.
    "#]],
    )
    .await;
    assert_eq!(weir.must(&["flow", "list", "--json"]).await, "[]\n");
    check(
        &weir.run(&["flow", "start", "c", "one"]).await,
        folder.path(),
        1,
        &expect![[r#"
            error: blueprint `c` does not exist: store it first, or use one listed by `weir blueprint list`
        "#]],
    );
    check(
        &weir.run(&["flow", "stop", "one"]).await,
        folder.path(),
        1,
        &expect![[r#"
            error: flow `one` does not exist: `weir flow list` lists all flows
        "#]],
    );
    check(
        &weir.run(&["flow", "show", "one"]).await,
        folder.path(),
        1,
        &expect![[r#"
            error: there is no flow `one`; there are no flows
        "#]],
    );
}

#[tokio::test]
async fn a_bad_message_is_refused_and_the_others_continue() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "b", "one").await;
    let sent = async |content: &str, arguments: &[&str], exit: i32, expected: &Expect| {
        let file = folder.path().join("message");
        fs::write(&file, content).unwrap();
        let mut all = vec!["send", "one", "in", file.to_str().unwrap()];
        all.extend_from_slice(arguments);
        check(&weir.run(&all).await, folder.path(), exit, expected);
    };
    let large = format!("\"{}\"", "x".repeat(5 << 20));
    sent(
        "{\"a\": nope}",
        &[],
        65,
        &expect![[r#"
        error: DIR/message is not JSON
          because: expected ident at line 1 column 8
          next: add --each-line if each line is a message, or --as-text or --text if it is plain text
    "#]],
    )
    .await;
    sent(
        &large,
        &[],
        65,
        &expect![[r#"
        error: the message was not sent to interface `in` of flow `one`: the body of the message has 5242882 bytes; the limit is 4194304
    "#]],
    )
    .await;
    sent(
        &format!("1\n{large}\n2"),
        &["--each-line"],
        65,
        &expect![[r#"
        error: not everything was sent; messages stored before it: 1
          because: line 2 has more than 4194304 bytes, the limit of a message
    "#]],
    )
    .await;
    sent(
        "2\nthree\n4",
        &["--each-line"],
        65,
        &expect![[r#"
        error: not everything was sent; messages stored before it: 1
          because: line 2 is not JSON: expected ident at line 1 column 2
    "#]],
    )
    .await;
    assert_eq!(weir.must(&["take", "one", "out", "--count", "2"]).await, "1\n2\n");
    check(
        &weir.run(&["send", "one", "inn", "--text", "x"]).await,
        folder.path(),
        1,
        &expect![[r#"
        error: flow `one` has no interface `inn`; interfaces: in, out
          next: did you mean the interface `in`?
    "#]],
    );
    check(
        &weir.run(&["send", "two", "in", "--text", "x"]).await,
        folder.path(),
        1,
        &expect![[r#"
            error: there is no flow `two`; flows: one
        "#]],
    );
    check(
        &weir.run(&["take", "one", "in"]).await,
        folder.path(),
        1,
        &expect![[r#"
        error: interface `in` of flow `one` has no exit, since it is consumed within the flow; `weir tail` shows its messages
    "#]],
    );
    check(
        &weir.run(&["send", "one", "in", "nowhere.json"]).await,
        folder.path(),
        66,
        &expect![[r#"
            error: nowhere.json cannot be read
              because: No such file or directory (os error 2)
              next: check the path; it is relative to the current directory
        "#]],
    );
}
