//! The guide for authors: the code that it shows is compiled and tested in the SDK's examples.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use weir_config::records::Descriptor;
use weir_flow::blueprint::Blueprint;

use super::repository;

fn guide() -> String {
    fs::read_to_string(repository().join("docs/writing-a-processor.md")).expect("the guide is there")
}

/// The blocks of a language in a document, with or without the file that they belong to.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let marked = document.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    marked.filter(|(mark, _)| mark.split(' ').next() == Some(language)).map(|(_, block)| block).collect()
}

/// A text without indentation, and without the descriptor's path, which only crates with several processors need.
fn plain(code: &str) -> String {
    let lines = code.lines().map(|line| line.trim().replace(", descriptor = \"examples/", "\0"));
    let lines = lines.map(|line| match line.split_once('\0') {
        Some((before, after)) => format!("{before}{}", after.split_once(".json\"").map_or("", |(_, end)| end)),
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The content of every example of the SDK with this extension.
fn examples(ending: &str) -> Vec<String> {
    let files = fs::read_dir(repository().join("sdk/rust/examples")).expect("the folder is there");
    let paths = files.map(|file| file.expect("the folder can be read").path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .map(|path| fs::read_to_string(path).expect("it can be read"))
        .collect()
}

#[test]
fn the_code_of_the_guide_is_compiled_and_tested() {
    let guide = guide();
    let examples: Vec<String> = examples("rs").iter().map(|example| plain(example)).collect();
    let blocks = blocks(&guide, "rust");
    assert!(blocks.iter().any(|block| block.contains("#[test]")), "the guide shows tests");
    for block in blocks {
        assert!(examples.iter().any(|example| example.contains(plain(block).trim())), "no example in sdk/rust/examples has:\n{block}");
    }
}

#[test]
fn the_code_of_the_first_page_is_that_of_an_example() {
    let page = fs::read_to_string(repository().join("README.md")).expect("the page is there");
    let examples: Vec<String> = examples("rs").iter().map(|example| plain(example)).collect();
    let blocks = blocks(&page, "rust");
    assert_eq!(blocks.len(), 1, "the page shows a processor");
    assert!(
        examples.iter().any(|example| example.contains(plain(blocks[0]).trim())),
        "no example in sdk/rust/examples has:\n{}",
        blocks[0]
    );
}

#[test]
fn the_descriptors_of_the_guide_are_those_of_the_code() {
    let guide = guide();
    let examples: Vec<Value> = examples("json").iter().map(|example| serde_json::from_str(example).expect("it is JSON")).collect();
    let is_descriptor = |block: &&&str| !block.contains("\"interfaces\"");
    let blocks = blocks(&guide, "json");
    assert!(blocks.iter().filter(is_descriptor).count() > 2, "the guide has a whole descriptor and parts of others");
    for block in blocks.iter().filter(is_descriptor) {
        let whole = if block.starts_with('{') { (*block).to_owned() } else { format!("{{{block}}}") };
        let shown: Value = serde_json::from_str(&whole).expect("it is JSON");
        let has_all =
            |example: &&Value| shown.as_object().is_some_and(|shown| shown.iter().all(|(key, value)| example.get(key) == Some(value)));
        assert!(examples.iter().find(has_all).is_some(), "no descriptor in sdk/rust/examples has:\n{block}");
    }
}

#[test]
fn the_descriptor_and_the_blueprint_of_the_guide_match() {
    let guide = guide();
    let whole: Vec<&str> = blocks(&guide, "json").into_iter().filter(|block| block.starts_with('{')).collect();
    let [descriptor, blueprint] = whole.as_slice() else { panic!("the guide has a descriptor and a blueprint, not {}", whole.len()) };
    let descriptor = Descriptor::parse(descriptor.as_bytes()).expect("the guide's descriptor is one");
    let blueprint = Blueprint::parse(blueprint).expect("the guide's blueprint is one");
    let processor = &blueprint.processors[0];
    assert_eq!(Some(&processor.processor), descriptor.name.as_ref());
    let consumers = descriptor.consumers.iter().map(|consumer| &consumer.name);
    let declared: BTreeSet<_> = consumers.chain(descriptor.producers.iter().map(|producer| &producer.name)).collect();
    assert_eq!(processor.topics.keys().collect::<BTreeSet<_>>(), declared);
}
