#![allow(clippy::unwrap_used, reason = "tests")]

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use weir_config::records::{Descriptor, Digest, Entry};
use weir_pubsub::chain;

use super::*;
use crate::blueprint::Blueprint;
use crate::error::Result;
use crate::parameters::Resolved;
use crate::protocol::{FlowStatus, PlanRecord, QueueRecord};

const EXITS: Exits = Exits::Keep { limit_bytes: 1000 };

fn draft(id: &str, blueprint: &Value, parameters: &[(&str, &str)]) -> Result<Draft> {
    let values = parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let flow = FlowIdentity { id: id.to_owned(), blueprint: "text".to_owned(), description: "d".to_owned() };
    Draft::new(flow, &Blueprint::parse(&blueprint.to_string())?, Resolved { values, notes: Vec::new() })
}

fn deploy(snapshot: &mut Snapshot, key: &str, descriptor: &Value) {
    let digest = Digest::from_sha256([u8::try_from(snapshot.deployed.len()).unwrap(); 32]);
    let record = json!({"digest": digest.to_string(), "size-bytes": 1, "world": "0.1.0", "descriptor": descriptor});
    snapshot.deployed.insert(key.to_owned());
    snapshot.components.insert(key.to_owned(), serde_json::from_value(record).unwrap());
}

/// Applies the plan.
fn apply_plan(snapshot: &mut Snapshot, id: &str, plan: &StartPlan) {
    snapshot.flows.insert(id.to_owned(), plan.record.clone());
    for (key, entry) in plan.entries.iter().chain(&plan.rewritten) {
        snapshot.entries.insert(key.clone(), entry.clone());
    }
}

fn start(snapshot: &mut Snapshot, id: &str, blueprint: &Value, parameters: &[(&str, &str)]) -> Result<StartPlan> {
    let plan = plan_start(&draft(id, blueprint, parameters)?, snapshot, EXITS)?;
    apply_plan(snapshot, id, &plan);
    Ok(plan)
}

fn show(plan: &StartPlan) -> String {
    let mut text = String::new();
    for queue in &plan.queues {
        let bound = queue.drop_oldest_above_bytes.map(|bytes| format!(" (bounded, {bytes})")).unwrap_or_default();
        writeln!(text, "queue {} of {}{bound}", queue.subscription, queue.topic).unwrap();
    }
    for (verb, entries) in [("entry", &plan.entries), ("rewritten", &plan.rewritten)] {
        for (key, entry) in entries {
            writeln!(text, "{verb} {}:{} {}", key.processor, key.variant, serde_json::to_string(entry).unwrap()).unwrap();
        }
    }
    plan.notes.iter().for_each(|note| writeln!(text, "note {note}").unwrap());
    text
}

fn check(plan: &StartPlan, expected: &Expect) {
    expected.assert_eq(&show(plan));
}

fn check_error(result: Result<StartPlan>, expected: &str) {
    assert_eq!(chain(&result.unwrap_err()), expected);
}

fn splitting() -> Value {
    json!({
        "blueprint": {"counter:{blueprint}": {"topics": {"input": "flow:tg:counts:{blueprint}"}}},
        "flow": {
            "splitter:{id}": {
                "topics": {"input": "flow:tg:text:{id}", "output": "flow:tg:chunks:{id}", "counts": "flow:tg:counts:{blueprint}"},
                "parameters": {"size": "{size}"}
            }
        },
        "interfaces": {"text": {"flow": "flow:tg:text:{id}"}, "chunks": {"flow": "flow:tg:chunks:{id}"}}
    })
}

fn splitter_descriptor() -> Value {
    json!({
        "schema": 1, "consumers": ["input"], "producers": ["output", {"name": "counts", "optional": true}],
        "parameters": [{"name": "size", "type": "integer", "required": true}, {"name": "unit", "enum": ["sentence", "paragraph"]}]
    })
}

#[test]
fn a_flow_gets_queues_for_its_inputs_and_exits_for_unconsumed_outputs() {
    let mut snapshot = Snapshot::default();
    deploy(&mut snapshot, "splitter@1.0.0", &splitter_descriptor());
    let plan = start(&mut snapshot, "one", &splitting(), &[("size", "100")]).unwrap();
    check(
        &plan,
        &expect![[r#"
            queue counter--text--input of flow:tg:counts:text
            queue splitter--one--input of flow:tg:text:one
            queue gateway--one--chunks of flow:tg:chunks:one (bounded, 1000)
            entry counter:text {"topics":{"input":"flow:tg:counts:text"},"parameters":{}}
            entry splitter:one {"topics":{"counts":"flow:tg:counts:text","input":"flow:tg:text:one","output":"flow:tg:chunks:one"},"parameters":{"size":"100"},"flow":"one","component":{"name":"splitter","version":"1.0.0","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"},"consumed":["counts","output"]}
            note section `blueprint`, processor `counter:{blueprint}`: nothing is deployed or registered for it, so it is assumed to be an external program that, according to its topic names, consumes input and sends to nothing
        "#]],
    );
    expect![[r#"{"description":"d","blueprint-name":"text","interfaces":{"chunks":{"flow":"flow:tg:chunks:one"},"text":{"flow":"flow:tg:text:one"}},"parameters":{"size":"100"},"plan":{"queues":[{"topic":"flow:tg:counts:text","subscription":"counter--text--input"},{"topic":"flow:tg:text:one","subscription":"splitter--one--input"},{"topic":"flow:tg:chunks:one","subscription":"gateway--one--chunks","drop-oldest-above-bytes":1000}],"entries":[{"processor":"counter","variant":"text"},{"processor":"splitter","variant":"one","outputs":{"counts":"flow:tg:counts:text","output":"flow:tg:chunks:one"}}]}}"#]]
        .assert_eq(&serde_json::to_string(&plan.record).unwrap());
}

#[test]
fn resources_without_a_flow_id_are_shared_and_removed_with_the_last_flow() {
    let mut snapshot = Snapshot::default();
    deploy(&mut snapshot, "splitter@1.0.0", &splitter_descriptor());
    start(&mut snapshot, "one", &splitting(), &[("size", "100")]).unwrap();
    let second = start(&mut snapshot, "two", &splitting(), &[("size", "200")]).unwrap();
    assert_eq!(second.queues[0].topic, "flow:tg:counts:text");
    let ends = |snapshot: &Snapshot, id: &str| release(id, snapshot.flows[id].plan.as_ref().unwrap(), snapshot);
    let first_end = ends(&snapshot, "one");
    let names: Vec<&str> = first_end.queues.iter().map(|queue| queue.topic.as_str()).collect();
    assert_eq!(names, ["flow:tg:text:one", "flow:tg:chunks:one"]);
    assert_eq!(first_end.entries.iter().map(|key| key.variant.as_str()).collect::<Vec<_>>(), ["one"]);
    snapshot.flows.get_mut("one").unwrap().status = Some(FlowStatus::Stopping);
    let last_end = ends(&snapshot, "two");
    assert_eq!((last_end.queues.len(), last_end.entries.len()), (3, 2), "a stopping flow owns nothing any more");
}

#[test]
fn entries_of_other_flows_are_updated_with_consumed_topics() {
    let sender = json!({"blueprint": {}, "flow": {"sender:{id}": {"topics": {"output": "flow:tg:news"}}}});
    let reader = json!({"blueprint": {}, "flow": {"reader:{id}": {"topics": {"input": "flow:tg:news"}}}});
    let mut snapshot = Snapshot::default();
    assert!(start(&mut snapshot, "s", &sender, &[]).unwrap().entries.values().all(|entry| entry.consumed.is_empty()));
    let plan = start(&mut snapshot, "r", &reader, &[]).unwrap();
    let key = EntryKey { processor: "sender".to_owned(), variant: "s".to_owned() };
    assert_eq!(plan.rewritten[&key].consumed, ["output"]);
    assert_eq!(affected_entries("r", &snapshot.flows, &BTreeSet::from(["flow:tg:news".to_owned()])), BTreeSet::from([key.clone()]));
    let end = release("r", snapshot.flows["r"].plan.as_ref().unwrap(), &snapshot);
    assert!(end.rewritten[&key].consumed.is_empty());
    assert!(start(&mut snapshot, "s2", &sender, &[]).unwrap().entries.values().all(|entry| entry.consumed == ["output"]));
}

#[test]
fn a_shared_entry_keeps_its_component_and_cannot_be_changed() {
    let shared = |size: &str| json!({"blueprint": {"splitter:all": {"topics": {"input": "flow:tg:in", "output": "flow:tg:out"}, "parameters": {"size": size}}}, "flow": {}});
    let mut snapshot = Snapshot::default();
    deploy(&mut snapshot, "splitter@1.0.0", &splitter_descriptor());
    start(&mut snapshot, "one", &shared("1"), &[]).unwrap();
    deploy(&mut snapshot, "splitter@1.1.0", &splitter_descriptor());
    let second = start(&mut snapshot, "two", &shared("1"), &[]).unwrap();
    assert_eq!(second.entries.values().next().unwrap().component.as_ref().unwrap().version, "1.0.0");
    check_error(
        start(&mut snapshot, "three", &shared("2"), &[]),
        "processor `splitter`, variant `all`, parameter `size`: other flows use this entry with `1`, and this flow would change it to `2`: \
             use the same value, or add {id} to the variant",
    );
}

#[test]
fn components_are_found_by_reference_or_by_newest_version() {
    let with = |component: Option<&str>| {
        let mut processor = json!({"topics": {"input": "flow:tg:in:{id}"}});
        if let Some(component) = component {
            processor["component"] = json!(component);
        }
        json!({"blueprint": {}, "flow": {"worker:{id}": processor}})
    };
    let mut snapshot = Snapshot::default();
    for key in ["worker@1.9.0", "worker@1.10.0", "worker@2.0.0-beta", "other@3.0.0", "worker-two@9.0.0", "worker@oops"] {
        deploy(&mut snapshot, key, &json!({"schema": 1, "consumers": ["input"]}));
    }
    let found = |component| {
        let plan = plan_start(&draft("one", &with(component), &[])?, &snapshot, EXITS)?;
        Ok(plan.entries.into_values().next().unwrap().component.unwrap().key())
    };
    let found = |component| -> Result<String> { found(component) };
    assert_eq!(found(None).unwrap(), "worker@2.0.0-beta");
    assert_eq!(found(Some("worker@1.9.0")).unwrap(), "worker@1.9.0");
    assert_eq!(found(Some("other")).unwrap(), "other@3.0.0");
    assert_eq!(
        chain(&found(Some("worker@5.0.0")).unwrap_err()),
        "section `flow`, processor `worker:{id}`, field `component`: `worker@5.0.0` is not deployed (deployed: worker@1.10.0, worker@1.9.0, worker@2.0.0-beta): deploy it, or choose another"
    );
    assert!(chain(&found(Some("nobody")).unwrap_err()).contains("none of that name"));
}

#[test]
fn the_requirements_of_a_component_are_checked() {
    let mut snapshot = Snapshot::default();
    deploy(&mut snapshot, "splitter@1.0.0", &splitter_descriptor());
    let mut check = |topics: Value, parameters: Value, expected: &str| {
        let blueprint = json!({"blueprint": {}, "flow": {"splitter:{id}": {"topics": topics, "parameters": parameters}}});
        check_error(start(&mut snapshot, "one", &blueprint, &[]), &format!("section `flow`, processor `splitter:{{id}}`, {expected}"));
    };
    let topics = json!({"input": "flow:tg:a", "output": "flow:tg:b"});
    check(
        json!({"input": "flow:tg:a"}),
        json!({"size": "1"}),
        "topic `output`: is missing, and the processor sends to it: add it to the processor's `topics`",
    );
    check(
        json!({"output": "flow:tg:a"}),
        json!({"size": "1"}),
        "topic `input`: is missing, and the processor consumes it: add it to the processor's `topics`",
    );
    check(topics.clone(), json!({}), "parameter `size`: the component requires it: give it in the processor's `parameters`");
    check(topics.clone(), json!({"size": "big"}), "parameter `size`: `big` is not a whole number");
    check(
        topics.clone(),
        json!({"size": "{size}"}),
        "parameter `size`: `{size}` is not a whole number: the flow's parameter `size` has no value and no default; give it a value",
    );
    check(topics, json!({"size": "1", "unit": "page"}), "parameter `unit`: `page` is not one of sentence, paragraph");
}

#[test]
fn requests_to_the_services_are_outputs_and_their_answers_inputs() {
    let mut snapshot = Snapshot::default();
    let descriptor = json!({"schema": 1, "consumers": [{"name": "spy"}], "producers": [{"name": "*"}]});
    deploy(&mut snapshot, "spy@1.0.0", &descriptor);
    let blueprint = |processor: &str, section: &str, spec: &str, topic: &str| {
        let mut blueprint = json!({"blueprint": {}, "flow": {}});
        blueprint[section][format!("{processor}:v-{{id}}")] = json!({"topics": {spec: topic}});
        blueprint
    };
    for topic in ["request:tg:config", "request:tg:flow", "request:other:config", "request:tg:{name}"] {
        for (processor, section, spec) in [("spy", "flow", "spy"), ("outside", "blueprint", "input"), ("outside", "flow", "a-input")] {
            let plan = start(&mut snapshot, "one", &blueprint(processor, section, spec, topic), &[("name", "flow")]);
            let error = chain(&plan.unwrap_err());
            assert!(error.contains(&format!("topic `{spec}`: consumes `request:")) && error.contains("may read"), "{error}");
        }
        start(&mut snapshot, "one", &blueprint("outside", "flow", "output", topic), &[("name", "flow")]).unwrap();
    }
    for topic in ["response:tg:config", "notify:tg:flow", "flow:tg:config", "request:tg:config-mine"] {
        start(&mut snapshot, "one", &blueprint("outside", "flow", "input", topic), &[]).unwrap();
    }
}

#[test]
fn unknown_variables_are_reported_in_variants_and_topics_and_kept_elsewhere() {
    let flow = |processor: &str, topic: &str| json!({"blueprint": {}, "flow": {processor: {"topics": {"input": topic}, "parameters": {"p": "{nothing}"}}}, "interfaces": {"x": {"flow": "flow:tg:{nothing}:y"}}});
    let mut snapshot = Snapshot::default();
    check_error(
        start(&mut snapshot, "one", &flow("a:{nobody}", "flow:tg:x"), &[]),
        "section `flow`, processor `a:{nobody}`: the variant `{nobody}` contains {nobody}, which is undefined: give a parameter of that \
             name a value",
    );
    check_error(
        start(&mut snapshot, "one", &flow("a:{id}", "flow:tg:{nobody}"), &[]),
        "section `flow`, processor `a:{id}`, topic `input`: the topic `flow:tg:{nobody}` contains {nobody}, which is undefined: give a \
             parameter of that name a value",
    );
    let plan = start(&mut snapshot, "one", &flow("a:{id}", "flow:tg:x"), &[]).unwrap();
    assert_eq!(plan.entries.values().next().unwrap().parameters["p"], "{nothing}");
    assert_eq!(plan.record.interfaces["x"], crate::protocol::Interface::Flow { flow: "flow:tg:{nothing}:y".to_owned() });
}

#[test]
fn names_that_become_invalid_or_equal_are_reported() {
    let mut snapshot = Snapshot::default();
    let flow = |keys: &[&str]| {
        let processors: serde_json::Map<String, Value> =
            keys.iter().map(|key| (key.to_string(), json!({"topics": {"input": "flow:tg:x"}}))).collect();
        json!({"blueprint": {}, "flow": processors})
    };
    check_error(
        start(&mut snapshot, "one", &flow(&["a:{p}"]), &[("p", "x/y")]),
        "section `flow`, processor `a:{p}`, variant `x/y`: the name contains '/': names must not contain control characters, /, * or #",
    );
    check_error(
        start(&mut snapshot, "one", &flow(&["a:{id}", "a:{p}"]), &[("p", "one")]),
        "section `flow`, processor `a:{p}`: has the same entry (variant `one`) as section `flow`, processor `a:{id}`: give one of them another variant",
    );
    check_error(
        start(&mut snapshot, "one", &flow(&["a:b--c", "a--b:c"]), &[]),
        "section `flow`, processor `a:b--c`, topic `input`: would share the queue a--b--c--input of flow:tg:x with section `flow`, processor `a--b:c`, topic `input`: give one of them another topic or variant",
    );
    check_error(
        start(
            &mut snapshot,
            "one",
            &json!({"blueprint": {}, "flow": {"a:{p}": {"topics": {"input": "flow:tg:{p}{p}"}}}}),
            &[("p", &"x".repeat(100))],
        ),
        &format!(
            "section `flow`, processor `a:{{p}}`, topic `input`: the queue name `tg.flow.{}...` has 319 bytes; the limit is 255: shorten the topic, the processor's name or its variant",
            "x".repeat(72)
        ),
    );
}

#[test]
fn external_programs_may_declare_what_they_consume() {
    let blueprint = json!({"blueprint": {}, "flow": {"program:{id}": {"topics": {"work": "flow:tg:work", "ask": "request:tg:ask", "input": "flow:tg:out", "answers": "response:tg:ask"}}}});
    let mut snapshot = Snapshot::default();
    let by_name = plan_start(&draft("one", &blueprint, &[]).unwrap(), &snapshot, EXITS).unwrap();
    assert_eq!(by_name.queues.iter().map(|queue| queue.subscription.as_str()).collect::<Vec<_>>(), ["program--one--input"]);
    let descriptor = json!({"schema": 1, "consumers": ["work", "ask", "answers"], "producers": ["input"]});
    snapshot.descriptors.insert("program".to_owned(), Descriptor::parse(descriptor.to_string().as_bytes()).unwrap());
    check(
        &plan_start(&draft("one", &blueprint, &[]).unwrap(), &snapshot, Exits::Drop).unwrap(),
        &expect![[r#"
            queue program--one--ask of request:tg:ask
            queue program--one--work of flow:tg:work
            entry program:one {"topics":{"answers":"response:tg:ask","ask":"request:tg:ask","input":"flow:tg:out","work":"flow:tg:work"},"parameters":{},"flow":"one"}
            note section `flow`, processor `program:{id}`, topic `input`: flow:tg:out has no subscriber and no interface: messages sent to it are dropped
        "#]],
    );
}

#[test]
fn foreign_flows_are_planned_from_blueprint_or_entries() {
    let plan = adopt(&draft("one", &splitting(), &[]).unwrap(), &BTreeMap::new(), EXITS).unwrap();
    let names = |plan: &PlanRecord| plan.queues.iter().map(|queue| queue.subscription.clone()).collect::<Vec<_>>();
    assert_eq!(names(&plan), ["counter--text--input", "splitter--one--input", "gateway--one--chunks"]);
    let entry: Entry = serde_json::from_value(json!({"topics": {"input": "flow:tg:a", "output": "nonsense"}})).unwrap();
    let key = |variant: &str| EntryKey { processor: "p".to_owned(), variant: variant.to_owned() };
    let plan = adopt_without_blueprint("one", &BTreeMap::from([(key("one"), entry.clone()), (key("two"), entry)]));
    assert_eq!(names(&plan), ["p--one--input"]);
    assert_eq!(plan.entries.len(), 1);
}

/// Blueprints whose flows share queues and entries in every combination.
fn sharing(at: usize) -> Value {
    let private = json!({"topics": {"input": "flow:tg:in:{id}", "output": "flow:tg:shared:{blueprint}", "other-input": "flow:tg:literal"}});
    let shared = json!({"topics": {"input": "flow:tg:shared:{blueprint}", "output": "flow:tg:literal"}});
    let literal = json!({"topics": {"input": "flow:tg:literal", "request": "request:tg:ask", "output": "flow:tg:shared:text"}});
    let all = [
        json!({"blueprint": {"s:{blueprint}": shared}, "flow": {"p:{id}": private}}),
        json!({"blueprint": {"l:everybody": literal}, "flow": {"p:{id}": private}}),
        json!({"blueprint": {"s:{blueprint}": shared, "l:everybody": literal}, "flow": {}}),
        json!({"blueprint": {}, "flow": {"p:{id}": private}, "interfaces": {"out": {"flow": "flow:tg:shared:{blueprint}"}}}),
    ];
    all[at % all.len()].clone()
}

type Names = BTreeSet<(String, String)>;

fn queue_names(plan: &[QueueRecord]) -> Names {
    plan.iter().map(|queue| (queue.topic.clone(), queue.subscription.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever flows start and stop, exactly the queues and entries of the running ones exist, and every entry lists which of its outputs have a
    /// queue.
    #[test]
    fn random_flows_never_affect_each_other_nor_leave_anything_behind(steps in prop::collection::vec((0..5_usize, 0..4_usize), 1..40)) {
        let mut snapshot = Snapshot::default();
        let mut queues = Names::new();
        for (flow, blueprint) in steps {
            let id = format!("f{flow}");
            if let Some(record) = snapshot.flows.get_mut(&id) {
                record.status = Some(FlowStatus::Stopping);
                let end = release(&id, snapshot.flows[&id].plan.as_ref().unwrap(), &snapshot);
                queue_names(&end.queues).iter().for_each(|queue| prop_assert_removed(queues.remove(queue)));
                end.entries.iter().for_each(|key| prop_assert_removed(snapshot.entries.remove(key).is_some()));
                snapshot.entries.extend(end.rewritten);
                snapshot.flows.remove(&id);
            } else {
                let plan = start(&mut snapshot, &id, &sharing(blueprint), &[]).unwrap();
                queues.extend(queue_names(&plan.queues));
            }
            let plans = || snapshot.flows.values().filter_map(|flow| flow.plan.as_ref());
            let named: Names = plans().flat_map(|plan| queue_names(&plan.queues)).collect();
            prop_assert_eq!(&queues, &named);
            let entries: BTreeSet<EntryKey> = plans().flat_map(|plan| &plan.entries).map(EntryKey::of).collect();
            prop_assert_eq!(snapshot.entries.keys().cloned().collect::<BTreeSet<_>>(), entries);
            for record in plans().flat_map(|plan| &plan.entries) {
                let fed = |topic: &String| queues.iter().any(|(fed, _)| fed == topic);
                let expected: Vec<&String> = record.outputs.iter().filter(|(_, topic)| fed(topic)).map(|(spec, _)| spec).collect();
                prop_assert_eq!(snapshot.entries[&EntryKey::of(record)].consumed.iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}

fn prop_assert_removed(was_there: bool) {
    assert!(was_there, "something was deleted that was not there");
}

/// The kind of a refusal, independent of its text.
fn refused<T: std::fmt::Debug>(result: Result<T>) -> PlanRefusal {
    match result.unwrap_err() {
        crate::FlowError::Plan { source, .. } => source,
        error => panic!("{error:?} is not a refusal of a plan"),
    }
}

#[test]
fn refusals_of_a_start_are_distinguished_without_their_text() {
    let mut snapshot = Snapshot::default();
    deploy(&mut snapshot, "p@1.0.0", &json!({"schema": 1, "consumers": ["input"], "parameters": [{"name": "size", "type": "integer"}]}));
    let mut refusal = |processor: &str, fields: Value, values: &[(&str, &str)]| {
        refused(start(&mut snapshot, "two", &json!({"blueprint": {}, "flow": {processor: fields}}), values))
    };
    let topics = json!({"input": "flow:tg:x"});
    let missing = NotDeployed { reference: "p@2.0.0".to_owned(), known: vec!["p@1.0.0".to_owned()] };
    assert_eq!(refusal("p:{id}", json!({"topics": topics, "component": "p@2.0.0"}), &[]), PlanRefusal::NotDeployed(missing));
    assert!(matches!(refusal("p:{id}", json!({}), &[]), PlanRefusal::MissingTopic { .. }));
    assert!(matches!(refusal("p:{id}", json!({"topics": topics, "parameters": {"size": "big"}}), &[]), PlanRefusal::Value(_)));
    let open = refusal("p:{id}", json!({"topics": topics, "parameters": {"size": "{size}"}}), &[]);
    assert!(matches!(&open, PlanRefusal::OpenValue { parameter, .. } if parameter == "size"), "{open:?}");
    let undefined = refusal("p:{who}", json!({"topics": topics}), &[]);
    assert!(matches!(&undefined, PlanRefusal::Undefined { variable, .. } if variable == "who"), "{undefined:?}");
    assert!(matches!(refusal("p:{v}", json!({"topics": topics}), &[("v", "a/b")]), PlanRefusal::Name { .. }));
    assert!(matches!(refusal("p:{id}", json!({"topics": {"input": "flow:tg:{v}"}}), &[("v", "a*b")]), PlanRefusal::WireName(_)));
    assert!(matches!(refusal("q:{id}", json!({"topics": {"input": "request:tg:config"}}), &[]), PlanRefusal::ReadsRequests { .. }));
    let shared = |size: &str| json!({"blueprint": {"p:b": {"topics": topics, "parameters": {"size": size}}}, "flow": {}});
    start(&mut snapshot, "one", &shared("1"), &[]).unwrap();
    let other = refused(start(&mut snapshot, "two", &shared("2"), &[]));
    assert_eq!(other, PlanRefusal::SharedEntry { there: Some("1".to_owned()), wanted: Some("2".to_owned()) });
}

#[test]
fn refusals_of_a_swap_are_distinguished_and_report_the_fix() {
    let mut snapshot = Snapshot::default();
    deploy(&mut snapshot, "p@1.0.0", &json!({"schema": 1, "consumers": ["input"]}));
    let shared = json!({"blueprint": {"p:b": {"topics": {"input": "flow:tg:x"}}}, "flow": {}});
    for id in ["one", "two"] {
        start(&mut snapshot, id, &shared, &[]).unwrap();
    }
    deploy(&mut snapshot, "p@2.0.0", &json!({"schema": 1, "consumers": ["input", "more"]}));
    deploy(&mut snapshot, "p@3.0.0", &json!({"schema": 1, "producers": ["*"]}));
    let key = EntryKey { processor: "p".to_owned(), variant: "b".to_owned() };
    let order = |component: &str, shared: bool| SwapRequest {
        flow: "one".to_owned(),
        processor: "p".to_owned(),
        component: component.to_owned(),
        shared,
        forget: false,
    };
    let check = |result: Result<Swap>, expected: SwapRefusal, text: &str| {
        let error = result.unwrap_err();
        assert_eq!(chain(&error), text);
        assert!(matches!(&error, crate::FlowError::Swap { source, .. } if *source == expected), "{error:?}");
    };
    let swap = |component: &str, shared: bool, snapshot: &Snapshot| plan_swap(&order(component, shared), &key, snapshot, &[]);
    check(
        swap("p@1.0.0", false, &snapshot),
        SwapRefusal::Shared { flows: vec!["two".to_owned()] },
        "flow `one`, processor `p`: its entry is shared with other flows (two): add --shared to swap it in all of them",
    );
    check(
        swap("q@1.0.0", true, &snapshot),
        SwapRefusal::NotDeployed(NotDeployed { reference: "q@1.0.0".to_owned(), known: Vec::new() }),
        "flow `one`, component `q@1.0.0`: `q@1.0.0` is not deployed (deployed: none of that name): deploy it, or choose another",
    );
    check(
        swap("p@3.0.0", true, &snapshot),
        SwapRefusal::UnreadInput { input: "input".to_owned(), reads: Vec::new() },
        "flow `one`, processor `p`, component `p@3.0.0`: it does not have the input `input`, which the flow uses (it has none): swap to one that does",
    );
    let error = swap("p@2.0.0", true, &snapshot).unwrap_err();
    assert!(
        matches!(&error, crate::FlowError::Swap { source: SwapRefusal::Unfit(unfit), .. } if unfit.mismatches().len() == 1),
        "{error:?}"
    );
    snapshot.components.get_mut("p@1.0.0").unwrap().world = "0.2.0".to_owned();
    check(
        swap("p@1.0.0", true, &snapshot),
        SwapRefusal::OtherContract { world: "0.2.0".to_owned() },
        "flow `one`, processor `p`, component `p@1.0.0`: it was built against weir:processor 0.2.0; hosts serve 0.1.x: rebuild it against that version",
    );
    snapshot.entries.clear();
    check(
        swap("p@1.0.0", true, &snapshot),
        SwapRefusal::EntryGone { variant: "b".to_owned() },
        "flow `one`, processor `p`: its entry (variant `b`) is missing or unreadable: start the flow again",
    );
    let unknown = swapped_entry(&SwapRequest { processor: "q".to_owned(), ..order("p", false) }, &snapshot.flows["one"]).unwrap_err();
    assert_eq!(chain(&unknown), "flow `one`, processor `q`: the flow has no such processor; it has p");
    snapshot.flows.get_mut("one").unwrap().status = Some(FlowStatus::Stopping);
    let stopping = swapped_entry(&order("p", false), &snapshot.flows["one"]).unwrap_err();
    assert!(matches!(stopping, crate::FlowError::Swap { source: SwapRefusal::Stopping, .. }), "{stopping:?}");
}
