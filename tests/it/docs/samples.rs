//! The code samples in the documents for authors: each is compiled and run by a test, or marked `text`, which is not run.

use std::collections::BTreeSet;
use std::fs;

use super::read::blocks;
use super::reader::repository;

/// Documents with samples that are not files, their languages, and the test that runs them. A sample unknown to its test fails there.
const RUN: [(&str, &[&str], &str); 8] = [
    ("README.md", &["rust"], "tests/it/sdk/guide.rs"),
    ("docs/writing-a-processor.md", &["json", "rust"], "tests/it/sdk/guide.rs"),
    ("docs/writing-a-processor/javascript.md", &["js", "toml", "ts"], "sdk/js/test/guide.test.js"),
    ("docs/writing-a-processor/python.md", &["python", "toml"], "sdk/python/tests/test_guide.py"),
    ("docs/writing-a-processor/testing.md", &["json"], "sdk/python/tests/test_guide.py"),
    ("sdk/js/README.md", &["js", "json"], "sdk/js/test/guide.test.js"),
    ("sdk/python/README.md", &["python", "toml"], "sdk/python/tests/test_guide.py"),
    ("sdk/rust/README.md", &["json", "rust"], "sdk/rust/src/guides.rs"),
];

/// All documents for authors.
fn documents() -> BTreeSet<String> {
    let pages = fs::read_dir(repository().join("docs/writing-a-processor")).unwrap();
    let pages = pages.map(|page| format!("docs/writing-a-processor/{}", page.unwrap().file_name().display()));
    pages.chain(RUN.iter().map(|(document, ..)| (*document).to_owned())).collect()
}

#[test]
fn every_sample_for_authors_is_run_by_a_test_or_only_shown() {
    for document in documents() {
        let text = fs::read_to_string(repository().join(&document)).unwrap();
        // Commands are run and files written by `reader.rs`; a block without a mark is a drawing.
        let samples = blocks(&text).into_iter().map(|(mark, _)| mark).filter(|mark| !mark.contains(' '));
        let found: BTreeSet<&str> = samples.filter(|mark| !["", "console", "sh", "text"].contains(mark)).collect();
        let listed = RUN.iter().find(|(name, ..)| *name == document);
        let run = listed.map(|(_, languages, _)| languages.iter().copied().collect()).unwrap_or_default();
        assert_eq!(found, run, "{document} has samples in these languages, and those are run by a test");
        if let Some((_, _, test)) = listed {
            let file = document.rsplit('/').next().unwrap();
            let names = |text: String| text.contains(file);
            assert!(names(fs::read_to_string(repository().join(test)).unwrap()), "{test} does not read {document}");
        }
    }
}
