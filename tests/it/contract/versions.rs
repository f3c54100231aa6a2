//! Versions of the contract side by side: what must load, what must not, and the errors. The components of every published version are kept
//! in `tests/guests/kept` and run here forever.

use weir_config::Batch;
use weir_config::records::{ProcessorState, entry_type};
use weir_pubsub::{Message, chain};
use weir_runtime::inspect;
use weir_tests::guest;
use weir_tests::wait::DEADLINE;

use super::service::{ASKED, SERVICE, Service, begin, parts, requester};
use crate::guests;
use crate::host_fixture::{HostFixture, entry};

/// Built when 0.1.0 was published; calls all of it.
const KEPT_0_1_0: &[u8] = include_bytes!("../../guests/kept/whole-0.1.0.wasm");

/// Runs a component of version 0.1.0 that calls every function.
async fn whole_works(bytes: &[u8]) {
    let fixture = HostFixture::new().await;
    fixture.config.apply(Batch::new().put("settings", "a", "1").put("settings", "b", "2")).await.unwrap();
    let service = Service::open(&fixture).await;
    let component = fixture.deploy_as("whole-0-1-0", "1.0.0", bytes, |_| {}).await;
    fixture.create("flow:tg:in", "whole-0-1-0--v--input").await;
    fixture.create("request:tg:ask", "whole-0-1-0--v--request").await;
    fixture.create("flow:tg:out", "test").await;
    let topics = [[("input", "flow:tg:in"), ("output", "flow:tg:out")], ASKED, SERVICE].concat();
    let mut wanted = entry(&component, &topics, &[("size", "9")]);
    wanted.flow = Some("one".to_owned());
    fixture.put(&entry_type("whole-0-1-0"), "v", &wanted).await;
    fixture.send("flow:tg:in", Message::new("{}")).await;
    let (_, id) = service.asked().await;
    service.answer_part(&id, "first").await;
    service.answer(&id, "second").await;
    let (_, id) = service.asked().await;
    service.answer(&id, "third").await;
    let seen = fixture.outputs().await.next_text().await;
    assert_eq!(seen, "whole-0-1-0 one v whole-0-1-0@1.0.0 9 1 output+response 32 1 true 1 a+b true settings 2 third");
    let requester = requester(&fixture).await;
    let answer = parts(begin(&requester, "{}", DEADLINE).await).await;
    assert_eq!(answer, [("one".to_owned(), None), ("two".to_owned(), None)]);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_component_for_0_1_0_runs() {
    whole_works(KEPT_0_1_0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_build_for_0_1_0_runs() {
    whole_works(&guest(guests::WHOLE_0_1_0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_for_a_later_0_1_runs_if_it_requires_nothing_new() {
    let fixture = HostFixture::new().await;
    assert_eq!(inspect(&guest(guests::BUILT_FOR_0_1_1)).unwrap().world, "0.1.1");
    fixture.run(guests::BUILT_FOR_0_1_1, &[], |_| {}).await;
    fixture.send_text("one").await;
    assert_eq!(fixture.outputs().await.next_text().await, "one");
    fixture.end().await;
}

#[test]
fn a_component_that_requires_a_later_contract_is_refused_by_deploy() {
    let fault = |name: &str| chain(&inspect(&guest(name)).and_then(weir_runtime::Inspected::check).unwrap_err());
    expect_test::expect![
        "the component requires `traceparent` of `weir:processor/context@0.1.1`, `weir:processor/metrics@0.1.1`, which \
    this host does not have: it serves weir:processor 0.1.0, and the component was built against 0.1.1; build it against 0.1.0 without \
    these, or update the host"
    ]
    .assert_eq(&fault(guests::NEEDS_0_1_1));
    expect_test::expect!["the component requires `traceparent` of `weir:processor/context@0.1.2`, `send` of \
         `weir:processor/messaging@0.1.2` as `func(to: string, message: record{body: list<u8>, content-type: option<string>, properties: \
         list<tuple<string, string>>, key: option<string>}) -> result<_, call-error>` (here it is `func(to: string, message: message) -> \
         result<_, call-error>`), `handle` of `weir:processor/handler@0.1.2` as `func(input: string, message: record{body: list<u8>, \
         content-type: option<string>, properties: list<tuple<string, string>>, key: option<string>}) -> result<_, failure>` (here it is \
         `func(input: string, message: message) -> result<_, failure>`), which this host does not have: it serves weir:processor 0.1.0, and \
         the component was built against 0.1.2; build it against 0.1.0 without these, or update the \
         host"].assert_eq(&fault(guests::BAD_0_1_2));
    expect_test::expect!["the component was built against weir:processor 0.2.0; this host serves 0.1.x: build it against an older contract, or update the host"].assert_eq(&fault(guests::BUILT_FOR_0_2_0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsupported_component_deployed_anyway_is_broken_with_the_same_message() {
    let fixture = HostFixture::new().await;
    fixture.run(guests::NEEDS_0_1_1, &[], |_| {}).await;
    let status = fixture.until_state("needs-0-1-1", ProcessorState::Broken).await;
    let error = status.last_error.unwrap();
    assert!(error.contains("`traceparent` of `weir:processor/context@0.1.1`"), "{error}");
    fixture.end().await;
}

#[test]
fn the_contract_is_the_one_that_was_published() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    // Comments may always change.
    let plain = |text: String| -> Vec<String> {
        let lines = text.lines().map(|line| line.split("//").next().unwrap().trim().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    };
    let (published, current) = (plain(text("guests/wit-versions/processor-0.1.0.wit")), plain(text("../wit/processor.wit")));
    assert_eq!(published, current, "add a version beside the published one, with guests of its own; 0.1.0 does not change");
}
