use futures_util::FutureExt;

use super::*;

#[test]
fn a_variant_runs_when_all_its_inputs_do() {
    let key = VariantKey { processor: "p".into(), variant: "v".into() };
    let status = VariantStatus::new(key, Arc::default());
    status.set_inputs(["a"].into_iter());
    status.set_state(ProcessorState::Running);
    assert_eq!(status.report().state, ProcessorState::Starting);
    status.input_fails("a", InputPart::Consumer, "no queue");
    assert_eq!(status.report().state, ProcessorState::Failing);
    assert_eq!(status.report().last_error.as_deref(), Some("no queue"));
    assert_eq!(status.report().last_error_over_ms, None);
    status.input_begins("a");
    assert_eq!(status.report().state, ProcessorState::Running);
    assert!(status.report().last_error_over_ms.is_some(), "it is over and still worth seeing");
}

#[test]
fn a_processor_that_starts_waits_for_its_own_inputs_alone() {
    let status = VariantStatus::new(VariantKey { processor: "p".into(), variant: "v".into() }, Arc::default());
    status.set_state(ProcessorState::Running);
    status.set_inputs(["a", "b"].into_iter());
    status.input_fails("b", InputPart::Consumer, "no queue");
    status.input_begins("a");
    assert_eq!((status.report().state, status.report().last_error_over_ms), (ProcessorState::Failing, None));
    status.set_inputs(["a"].into_iter());
    assert_eq!(status.report().state, ProcessorState::Starting);
    assert!(status.report().last_error_over_ms.is_some());
    status.input_begins("a");
    assert_eq!(status.report().state, ProcessorState::Running);
}

#[test]
fn a_part_of_an_input_that_goes_on_says_nothing_of_the_other() {
    let status = VariantStatus::new(VariantKey { processor: "p".into(), variant: "v".into() }, Arc::default());
    status.set_state(ProcessorState::Running);
    status.input_fails("a", InputPart::Consumer, "stalled");
    status.input_fails("a", InputPart::Settles, "no queue");
    status.input_goes_on("a", InputPart::Settles);
    let report = status.report();
    assert_eq!((report.state, report.last_error.as_deref()), (ProcessorState::Failing, Some("stalled")));
    assert_eq!(report.last_error_over_ms, None);
    status.input_fails("a", InputPart::Settles, "no queue");
    status.input_goes_on("a", InputPart::Consumer);
    assert_eq!((status.report().state, status.report().last_error.as_deref()), (ProcessorState::Failing, Some("no queue")));
    status.input_goes_on("a", InputPart::Settles);
    assert_eq!(status.report().state, ProcessorState::Running);
    assert!(status.report().last_error_over_ms.is_some());
}

#[test]
fn an_error_that_stops_an_input_precedes_newer_ones_of_messages() {
    let status = VariantStatus::new(VariantKey { processor: "p".into(), variant: "v".into() }, Arc::default());
    status.input_fails("a", InputPart::Settles, "no queue");
    status.note_error(ErrorSource::Message, "reject: no text");
    assert_eq!(status.report().last_error.as_deref(), Some("no queue"));
    status.input_goes_on("a", InputPart::Settles);
    assert_eq!(status.report().last_error.as_deref(), Some("reject: no text"));
}

#[test]
fn ongoing_errors_precede_newer_resolved_ones() {
    let status = VariantStatus::new(VariantKey { processor: "p".into(), variant: "v".into() }, Arc::default());
    status.note_error(ErrorSource::Component, "cannot run");
    let since = status.report().last_error_ms;
    status.note_error(ErrorSource::Message, "trap");
    status.end_errors(|of| *of == ErrorSource::Message);
    status.note_error(ErrorSource::Component, "cannot run");
    let report = status.report();
    assert_eq!((report.last_error.as_deref(), report.last_error_ms, report.last_error_over_ms), (Some("cannot run"), since, None));
    status.end_errors(|of| *of == ErrorSource::Component);
    assert!(status.report().last_error_over_ms.is_some());
}

#[test]
fn a_refusal_that_is_found_again_by_another_try_keeps_its_time() {
    let changed = Arc::new(Notify::new());
    let status = VariantStatus::new(VariantKey { processor: "p".into(), variant: "v".into() }, changed.clone());
    let digest = weir_config::records::Digest::from_sha256([1; 32]);
    let component = ComponentRef { name: "p".into(), version: "2".into(), digest };
    let refused =
        |problem: &str, permanent, time_ms| Some(Refusal { component: component.clone(), problem: problem.into(), permanent, time_ms });
    let refusal = |problem: &str, time_ms| refused(problem, false, time_ms);
    let is_changed = || changed.notified().now_or_never().is_some();
    status.set_refused(refusal("no file", 1));
    assert!(is_changed());
    status.set_refused(refusal("no file", 2));
    assert_eq!((status.report().refused, is_changed()), (refusal("no file", 1), false));
    status.set_refused(refusal("damaged", 3));
    assert_eq!((status.report().refused, is_changed()), (refusal("damaged", 3), true));
    status.set_refused(None);
    status.set_refused(refusal("damaged", 4));
    assert_eq!(status.report().refused, refusal("damaged", 4));
    for time_ms in [5, 6] {
        status.set_refused(refused("damaged", true, time_ms));
        assert_eq!((status.report().refused, is_changed()), (refused("damaged", true, time_ms), true));
    }
}

#[test]
fn a_refusal_of_a_component_is_cleared_when_it_is_named_again() {
    let status = VariantStatus::new(VariantKey { processor: "p".into(), variant: "v".into() }, Arc::default());
    let digest = weir_config::records::Digest::from_sha256([1; 32]);
    let component = |version: &str| ComponentRef { name: "p".into(), version: version.into(), digest };
    status.set_desired(Some(&component("2")));
    status.set_refused(Some(Refusal { component: component("2"), problem: "no".into(), permanent: true, time_ms: 1 }));
    status.set_desired(Some(&component("1")));
    assert!(status.report().refused.is_some());
    status.set_desired(Some(&component("2")));
    assert_eq!((status.report().refused, status.report().wanted), (None, Some(component("2"))));
}
