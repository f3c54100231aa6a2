//! The whole processor, in the test kit.

use weir::testing::{Kit, json};
use weir::{Json, Verdict};

/// Texts and their languages.
fn texts() -> Vec<(String, String)> {
    serde_json::from_str(include_str!("../fixtures/texts.json")).unwrap()
}

fn ask(kit: &mut Kit, text: &str) -> (String, f64) {
    let answer = kit.handle("request", Json(json!({ "text": text }))).reply_json().remove(0);
    (answer["language"].as_str().unwrap().to_owned(), answer["confidence"].as_f64().unwrap())
}

fn refusal(parameter: &str, value: &str) -> String {
    weir::testing::kit!().parameter(parameter, value).configure().unwrap_err()
}

#[test]
fn questions_are_answered_with_language_and_confidence() {
    let mut kit = weir::testing::kit!();
    for (language, text) in texts() {
        let (reported, confidence) = ask(&mut kit, &text);
        assert_eq!(reported, language, "{text}: {confidence}");
        assert!(if language == "und" { confidence < 0.9 } else { (0.9..=1.0).contains(&confidence) }, "{text}: {confidence}");
    }
    assert_eq!(kit.handle("request", Json(json!({ "text": "" }))).reply_json(), [json!({ "language": "und", "confidence": 0.0 })]);
}

#[test]
fn within_a_flow_a_document_leaves_with_its_language() {
    let text = &texts()[0].1;
    let document = json!({ "id": 7, "language": "xx", "text": text });
    let handled = weir::testing::kit!().handle("input", Json(&document));
    assert_eq!(handled.json("output"), [json!({ "id": 7, "language": "de", "language-confidence": 1.0, "text": text })]);
}

#[test]
fn an_ambiguous_text_has_no_language() {
    let mut kit = weir::testing::kit!();
    let (language, confidence) = ask(&mut kit, "The quick brown fox jumps over the lazy dog");
    assert_eq!(language, "und");
    assert!(confidence > 0.0 && confidence < 0.9, "{confidence}");
    let mut kit = weir::testing::kit!();
    kit.parameter("least-confidence", "0");
    assert_ne!(ask(&mut kit, "The quick brown fox jumps over the lazy dog").0, "und", "whoever wants to guess, may");
}

#[test]
fn only_listed_languages_are_reported() {
    let mut kit = weir::testing::kit!();
    kit.parameter("languages", "EN, de,,fr");
    assert_eq!(ask(&mut kit, "Wir brauchen noch etwas Wasser für die Mühle").0, "de");
    for (language, text) in texts() {
        let reported = ask(&mut kit, &text).0;
        assert!(["en", "de", "fr", "und"].contains(&reported.as_str()), "{text}");
        if ["en", "de", "fr"].contains(&language.as_str()) {
            assert_eq!(reported, language);
        } else if ["el", "ru", "ko"].contains(&language.as_str()) {
            assert_eq!(reported, "und", "no language of the list is written like {text}");
        }
    }
}

/// As long as a message can be.
#[test]
fn the_beginning_of_a_long_text_decides() {
    let texts = texts();
    let (german, greek) = (&texts[0].1, &texts[11].1);
    let long = german.repeat(300) + &greek.repeat(10_000);
    assert!(long.len() > 2 << 20);
    assert_eq!(ask(&mut weir::testing::kit!(), &long).0, "de");
}

#[test]
fn faults_name_the_field_and_are_final() {
    let mut kit = weir::testing::kit!();
    for input in ["request", "input"] {
        for (message, fault) in [(json!({}), "field `text` is missing"), (json!({ "text": 5 }), "field `text` is not text")] {
            let handled = kit.handle(input, Json(message));
            let failure = handled.failure().unwrap();
            assert_eq!(failure.verdict(), Verdict::Reject);
            assert!(failure.reason().contains(fault), "{failure}");
        }
    }
}

#[test]
fn faulty_parameters_are_reported_before_the_first_message() {
    let check = |parameter: &str, value: &str, words: &[&str]| {
        let refusal = refusal(parameter, value);
        for word in words {
            assert!(refusal.contains(word), "{parameter}={value} gave {refusal}, without {word}");
        }
    };
    check("languages", "de,english", &["`languages` contains `english`", "de, el, en", "`all`"]);
    check("languages", "de, DE", &["`languages` has 1 language", "two or more"]);
    check("languages", "", &["`languages` has 0 language"]);
    check("least-confidence", "1.5", &["`least-confidence` is 1.5", "0 to 1"]);
    check("least-confidence", "high", &["least-confidence", "is not a number"]);
}
