//! Swapping: what the service checks before it writes, what it writes, and what it restores.

use serde_json::{Value, json};
use weir_config::records::HostSummary;
use weir_flow::FlowService;
use weir_flow::plan::SwapRequest;
use weir_flow::protocol::Swapped;
use weir_pubsub::Message;

use super::support::*;

fn digest(byte: &str) -> String {
    format!("sha256:{}", byte.repeat(32))
}

fn component(version: &str, byte: &str) -> Value {
    json!({"name": "splitter", "version": version, "digest": digest(byte)})
}

/// The record of the blueprint's splitter with another digest; `change` turns it into another component.
fn record(byte: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut record = splitter_record();
    record["digest"] = json!(digest(byte));
    change(&mut record);
    record
}

/// A version, what makes its component unfit, and words of the error.
type Fault = (&'static str, fn(&mut Value), &'static [&'static str]);

fn order(component: &str) -> SwapRequest {
    SwapRequest { flow: "one".to_owned(), processor: "splitter".to_owned(), component: component.to_owned(), ..SwapRequest::default() }
}

/// A running flow `one`, and a second version of its splitter.
async fn ready() -> (FlowFixture, FlowService) {
    let (fixture, service) = FlowFixture::ready().await;
    fixture.start("one", json!({"size": "10"})).await.unwrap();
    fixture.put("component", "splitter@2.0.0", &record("cd", |_| {})).await;
    (fixture, service)
}

async fn swap(fixture: &FlowFixture, order: SwapRequest) -> Swapped {
    within_deadline(fixture.flows.swap(order)).await.unwrap()
}

async fn refusal(fixture: &FlowFixture, order: SwapRequest) -> String {
    let before = fixture.everything().await;
    let error = within_deadline(fixture.flows.swap(order)).await.unwrap_err().to_string();
    assert_eq!(fixture.everything().await, before, "a refused swap changes nothing");
    error
}

async fn entry(fixture: &FlowFixture) -> Value {
    fixture.get("processor:splitter", "one").await.unwrap()
}

#[tokio::test]
async fn a_swap_changes_the_component_of_one_flow_and_records_the_previous_one() {
    let (fixture, _service) = ready().await;
    fixture.start("two", json!({"size": "20"})).await.unwrap();
    let (before, other) = (entry(&fixture).await, fixture.get("processor:splitter", "two").await);
    let mut notifies = fixture.notifies().await;
    let swapped = swap(&fixture, order("splitter@1.0.0")).await;
    assert!(swapped.unchanged && Some(&swapped.component) == swapped.previous.as_ref(), "{swapped:?}");
    // The newest of the name.
    let swapped = swap(&fixture, order("splitter")).await;
    assert_eq!(
        (swapped.component.key(), swapped.previous.unwrap().key(), swapped.unchanged),
        ("splitter@2.0.0".into(), "splitter@1.0.0".into(), false)
    );
    let mut wanted = before;
    (wanted["component"], wanted["previous"]) = (component("2.0.0", "cd"), component("1.0.0", "ab"));
    assert_eq!(entry(&fixture).await, wanted);
    assert_eq!(fixture.get("processor:splitter", "two").await, other);
    assert_eq!(notifies.next().await.types, ["flow-service", "processor:splitter"], "one write, and none for the swap to what it had");
    // And back.
    let back = swap(&fixture, SwapRequest { processor: "splitter:one".to_owned(), ..order("splitter@1.0.0") }).await;
    assert_eq!(back.component.key(), "splitter@1.0.0");
    assert_eq!(entry(&fixture).await["previous"], component("2.0.0", "cd"));
    let _ = &mut notifies;
}

#[tokio::test]
async fn an_unfit_component_is_refused_with_the_name_and_the_fix() {
    let (fixture, _service) = ready().await;
    let faults: [Fault; 8] = [
        ("3.0.0", |r| r["descriptor"]["consumers"] = json!(["texts"]), &["the input `texts`", "add it to"]),
        (
            "3.0.1",
            |r| r["descriptor"] = json!({"schema": 1, "consumers": [], "producers": ["*"]}),
            &["`input`, which the flow uses", "it has none"],
        ),
        ("3.0.2", |r| r["descriptor"]["consumers"] = json!(["input", "counts"]), &["has the input `counts`, which this flow does not use"]),
        ("3.0.3", |r| r["descriptor"]["producers"] = json!(["counts", "texts"]), &["the output `texts`", "topic `output` is neither"]),
        ("3.0.4", |r| r["descriptor"]["parameters"][0]["type"] = json!("boolean"), &["parameter `size`", "`10` is"]),
        ("3.0.5", |r| r["descriptor"]["parameters"] = json!([{"name": "model", "required": true}]), &["parameter `model` is required"]),
        ("3.0.6", |r| r["descriptor"]["grants"] = json!([{"grant": "http"}]), &["the grant `http`"]),
        ("3.0.7", |r| r["world"] = json!("0.2.0"), &["weir:processor 0.2.0", "hosts serve 0.1.x"]),
    ];
    for (version, change, words) in faults {
        fixture.put("component", &format!("splitter@{version}"), &record("ef", change)).await;
        let error = refusal(&fixture, order(&format!("splitter@{version}"))).await;
        for word in ["flow `one`, processor `splitter`"].iter().chain(words) {
            assert!(error.contains(word), "{version}: `{word}` is missing in {error}");
        }
    }
}

#[tokio::test]
async fn a_grant_of_another_form_makes_only_its_deployment_unreadable() {
    let (fixture, _service) = ready().await;
    for (version, grants, field) in
        [("3.0.0", json!(["http"]), r#"`grants.0` is "http""#), ("3.0.1", json!("http"), r#"`grants` is "http""#)]
    {
        fixture.put("component", &format!("splitter@{version}"), &record("ef", |r| r["grants"] = grants)).await;
        let error = refusal(&fixture, order(&format!("splitter@{version}"))).await;
        for word in [&format!("key `splitter@{version}`"), field, r#"it must be "#, r#"{"grant": NAME, "what": [STRING, ...]}"#] {
            assert!(error.contains(word), "`{word}` is missing in {error}");
        }
    }
    let given = record("ef", |r| r["grants"] = json!([{"grant": "http", "what": ["example.org"]}]));
    fixture.put("component", "splitter@3.0.2", &given).await;
    assert_eq!(swap(&fixture, order("splitter@3.0.2")).await.component.version, "3.0.2");
}

#[tokio::test]
async fn missing_names_are_reported_with_the_existing_ones() {
    let (fixture, _service) = ready().await;
    let check = async |order: SwapRequest, words: &[&str]| {
        let error = refusal(&fixture, order).await;
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    };
    check(SwapRequest { flow: "three".to_owned(), ..order("splitter") }, &["flow `three` does not exist", "weir flow list"]).await;
    check(SwapRequest { processor: "chunker".to_owned(), ..order("splitter") }, &["no such processor", "counter, splitter"]).await;
    check(order("splitter@9.0.0"), &["`splitter@9.0.0` is not deployed", "splitter@1.0.0, splitter@2.0.0"]).await;
    check(order("nothing"), &["`nothing` is not deployed", "deploy it"]).await;
    check(SwapRequest { processor: "counter".to_owned(), ..order("splitter") }, &["processor `counter`", "the output `output`"]).await;
    let raw = fixture.raw().await;
    for (field, missing) in [("processor", json!({"component": "x"})), ("component", json!({"processor": "x"}))] {
        let mut request = json!({"operation": "swap", "flow_id": "one"});
        request.as_object_mut().unwrap().extend(missing.as_object().unwrap().clone());
        let (kind, message) = raw.error(&request).await;
        assert!(kind == "flow-error" && message.contains(&format!("field `{field}`")), "{message}");
    }
}

#[tokio::test]
async fn a_shared_entry_is_swapped_for_all_of_its_flows_or_none() {
    let (fixture, _service) = ready().await;
    let mut shared = blueprint();
    shared["blueprint"] = json!({"splitter:{blueprint}": {
        "topics": {"input": "flow:tg:text:{blueprint}", "output": "flow:tg:chunks:{blueprint}"}, "parameters": {"size": "10"},
        "component": "splitter@1.0.0",
    }});
    shared["flow"] = json!({});
    shared["interfaces"] = json!({});
    fixture.flows.put_blueprint("shared", &shared.to_string()).await.unwrap();
    for id in ["three", "four"] {
        fixture.start_on("shared", id, json!({})).await.unwrap();
    }
    let three = || SwapRequest { flow: "three".to_owned(), ..order("splitter@2.0.0") };
    let error = refusal(&fixture, three()).await;
    assert!(error.contains("shared with other flows (four)") && error.contains("--shared"), "{error}");
    let swapped = swap(&fixture, SwapRequest { shared: true, ..three() }).await;
    assert_eq!((swapped.variant.as_str(), swapped.sharers), ("shared", vec!["four".to_owned()]));
    assert_eq!(fixture.get("processor:splitter", "shared").await.unwrap()["component"], component("2.0.0", "cd"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_with_forget_keeps_no_previous_component() {
    let (fixture, _service) = ready().await;
    swap(&fixture, order("splitter@2.0.0")).await;
    assert_eq!(fixture.get("processor:splitter", "one").await.unwrap()["previous"], component("1.0.0", "ab"));
    swap(&fixture, SwapRequest { forget: true, ..order("splitter@1.0.0") }).await;
    let entry = fixture.get("processor:splitter", "one").await.unwrap();
    assert_eq!((&entry["component"], &entry["previous"]), (&component("1.0.0", "ab"), &Value::Null));
}

/// A host's finding: in which flow it cannot run the splitter of this version and digest, whether permanently, and when it found that.
type Finding = (&'static str, &'static str, &'static str, bool, u64);

/// Publishes findings like a host.
async fn say(fixture: &FlowFixture, findings: &[Finding]) {
    let refusal = |(variant, version, byte, permanent, time_ms): &Finding| {
        let refused = json!({"component": component(version, byte), "problem": "does not fit", "permanent": permanent, "time-ms": time_ms});
        json!({"processor": "splitter", "variant": variant, "refused": refused})
    };
    let refusals: Vec<Value> = findings.iter().map(refusal).collect();
    let report = json!({
        "host": "h", "version": "0", "started-ms": 0, "time-ms": 0, "config-version": 1, "states": {}, "totals": {}, "flows-count": 0,
        "digests-count": 0, "processors": ["splitter"], "refusals": refusals,
    });
    let producer = fixture.backend.producer(&"notify:tg:weir-status".parse().unwrap()).await.unwrap();
    producer.publish_confirmed(Message::new(report.to_string())).await.unwrap();
}

async fn until_component(fixture: &FlowFixture, flow: &str, version: &str) -> Value {
    let entry = async || fixture.get("processor:splitter", flow).await.unwrap();
    until(async || entry().await["component"]["version"] == version).await;
    entry().await
}

#[tokio::test]
async fn a_permanently_refused_component_is_reverted() {
    let (fixture, _service) = ready().await;
    fixture.start("two", json!({"size": "20"})).await.unwrap();
    let two = || SwapRequest { flow: "two".to_owned(), ..order("splitter@2.0.0") };
    // It was started with the newest one.
    swap(&fixture, SwapRequest { component: "splitter@1.0.0".to_owned(), ..two() }).await;
    swap(&fixture, order("splitter@2.0.0")).await;
    swap(&fixture, two()).await;
    // A temporary failure, and one of a component that the entry does not name, have no effect: the other flow's, after them, has.
    say(&fixture, &[("one", "2.0.0", "cd", false, 1)]).await;
    say(&fixture, &[("one", "2.0.0", "ee", true, 2), ("two", "2.0.0", "cd", true, 2)]).await;
    until_component(&fixture, "two", "1.0.0").await;
    assert_eq!(entry(&fixture).await["component"], component("2.0.0", "cd"));
    say(&fixture, &[("one", "2.0.0", "cd", true, 3)]).await;
    let back = until_component(&fixture, "one", "1.0.0").await;
    assert_eq!(back.get("previous"), None, "there is none before it that is known to work");
    // Findings from before the next swap do not count against it.
    swap(&fixture, order("splitter@2.0.0")).await;
    swap(&fixture, two()).await;
    say(&fixture, &[("one", "2.0.0", "cd", true, 3), ("two", "2.0.0", "cd", true, 4)]).await;
    until_component(&fixture, "two", "1.0.0").await;
    assert_eq!(entry(&fixture).await["component"], component("2.0.0", "cd"));
    // A component refused by a host is not restored.
    fixture.put("component", "splitter@3.0.0", &record("ee", |_| {})).await;
    swap(&fixture, order("splitter@3.0.0")).await;
    assert_eq!(entry(&fixture).await["previous"], component("1.0.0", "ab"));
    say(&fixture, &[("one", "3.0.0", "ee", true, 5)]).await;
    until_component(&fixture, "one", "1.0.0").await;
}

#[tokio::test]
async fn a_refusal_among_thousands_is_reverted() {
    let (fixture, _service) = ready().await;
    swap(&fixture, order("splitter@2.0.0")).await;
    let refused = |version: &str, byte: &str| json!({"component": component(version, byte), "problem": "x".repeat(5_000), "permanent": true, "time-ms": 1});
    let of = |at: usize| json!({"processor": "other", "variant": format!("{at:0>200}"), "refused": refused("1.0.0", "ab")});
    let mut refusals: Vec<Value> = (0..2_000).map(of).collect();
    refusals.push(json!({"processor": "splitter", "variant": "one", "refused": refused("2.0.0", "cd")}));
    let summary: HostSummary = serde_json::from_value(json!({
        "host": "h", "version": "0", "started-ms": 0, "time-ms": 0, "config-version": 1, "states": {}, "totals": {}, "flows-count": 0,
        "digests-count": 0, "refusals": refusals,
    }))
    .unwrap();
    let bodies = summary.messages(256 << 10).bodies;
    assert!(bodies.len() > 1);
    let producer = fixture.backend.producer(&"notify:tg:weir-status".parse().unwrap()).await.unwrap();
    for body in bodies {
        producer.publish_confirmed(Message::new(body)).await.unwrap();
    }
    until_component(&fixture, "one", "1.0.0").await;
}

#[tokio::test]
async fn an_entry_without_a_component_can_be_swapped_to_a_fitting_one() {
    let (fixture, _service) = ready().await;
    fixture
        .put(
            "component",
            "counter@1.0.0",
            &json!({
                "digest": digest("ee"), "size-bytes": 1, "world": "0.1.0", "descriptor": {"schema": 1, "consumers": ["input"]}
            }),
        )
        .await;
    let before = fixture.get("processor:counter", "text").await.unwrap();
    assert_eq!(before.get("component"), None);
    let swapped = swap(&fixture, SwapRequest { processor: "counter".to_owned(), ..order("counter") }).await;
    assert_eq!((swapped.component.key(), swapped.previous, swapped.unchanged), ("counter@1.0.0".into(), None, false));
    let mut wanted = before;
    wanted["component"] = json!({"name": "counter", "version": "1.0.0", "digest": digest("ee")});
    assert_eq!(fixture.get("processor:counter", "text").await.unwrap(), wanted);
    // A component that reads what the flow does not provide is refused as for any other.
    fixture
        .put(
            "component",
            "counter@2.0.0",
            &json!({
                "digest": digest("ff"), "size-bytes": 1, "world": "0.1.0", "descriptor": {"schema": 1, "consumers": ["input", "more"]}
            }),
        )
        .await;
    let error = refusal(&fixture, SwapRequest { processor: "counter".to_owned(), ..order("counter") }).await;
    assert!(error.contains("more"), "{error}");
}
