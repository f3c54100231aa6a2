//! The promises of the pub/sub layer, each a separate test, on every broker.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;

use weir_tests::conformance::differences::{DIFFERENCES, STAND_INS};
use weir_tests::conformance::exceptions::EXCEPTIONS;
use weir_tests::conformance::{self, BrokerFixture, Embedded, Network, PROMISES, Pulsar, RabbitMq};
use weir_tests::{tested_on_embedded, tested_on_network, tested_on_pulsar, tested_on_rabbitmq};

/// Makes a test of every promise on one broker; `$tested` leaves out the exceptions.
macro_rules! tests_on {
    (($broker:ident, $tested:ident) $($area:ident: [$($promise:ident,)*],)*) => {
        use super::*;
        $(mod $area {
            #[allow(unused_imports, reason = "all promises of a file may be exceptions")]
            use super::*;
            $($tested! { $promise,
                #[tokio::test]
                async fn $promise() {
                    conformance::$area::$promise(&mut BrokerFixture::open($broker::of(stringify!($promise))).await).await;
                }
            })*
        })*
    };
}

mod embedded {
    weir_tests::for_each_promise!(tests_on!(Embedded, tested_on_embedded));
}

mod network {
    weir_tests::for_each_promise!(tests_on!(Network, tested_on_network));
}

mod rabbitmq {
    weir_tests::for_each_promise!(tests_on!(RabbitMq, tested_on_rabbitmq));
}

mod pulsar {
    weir_tests::for_each_promise!(tests_on!(Pulsar, tested_on_pulsar));
}

/// The test of a promise, unless it is an exception of RabbitMQ, or of its quorum queues.
macro_rules! tested_on_quorum {
    ($promise:ident, $($test:tt)*) => {
        weir_tests::tested_on_rabbitmq! { $promise, weir_tests::tested_on_rabbitmq_quorum! { $promise, $($test)* } }
    };
}

/// A virtual host that creates quorum queues by default.
struct Quorum;

impl Quorum {
    fn of(promise: &str) -> RabbitMq {
        RabbitMq::quorum(promise)
    }
}

mod rabbitmq_quorum {
    weir_tests::for_each_promise!(tests_on!(Quorum, tested_on_quorum));
}

#[test]
fn exceptions_name_promises_and_give_reasons() {
    let mut known = BTreeSet::new();
    for promise in PROMISES {
        assert!(known.insert(promise), "two promises are named {promise}");
    }
    let mut shown = format!("\n{} promises\n", PROMISES.len());
    for exceptions in EXCEPTIONS {
        writeln!(shown, "{}: all but {}", exceptions.broker, exceptions.promises.len()).unwrap();
        let mut named = BTreeSet::new();
        for (promise, reason) in exceptions.promises {
            writeln!(shown, "  {promise}: {reason}").unwrap();
            assert!(known.contains(promise), "{promise} is not a promise of tests/src/conformance/mod.rs");
            assert!(named.insert(promise), "{promise} is named twice");
            assert!(!reason.trim().is_empty(), "{promise} needs a reason");
        }
    }
    // Printed in every run of the tests: this is not captured, unlike the output of macros.
    std::io::stdout().write_all(shown.as_bytes()).unwrap();
}

/// The cells of the table of docs/concepts.md, its header first.
fn table() -> Vec<Vec<&'static str>> {
    let page = include_str!("../../docs/concepts.md");
    let lines = page.lines().skip_while(|line| !line.starts_with("| promise |")).take_while(|line| line.starts_with('|'));
    let rows = lines.filter(|line| !line.starts_with("|--"));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_concepts_page_lists_the_differences_between_brokers() {
    let table = table();
    let (header, rows) = table.split_first().expect("docs/concepts.md has a table that begins with `| promise |`");
    let brokers: Vec<&str> = EXCEPTIONS.iter().map(|exceptions| exceptions.broker).filter(|broker| !STAND_INS.contains(broker)).collect();
    assert_eq!(header[1..], brokers, "the columns of the table in docs/concepts.md are the brokers");
    let shown: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let known: Vec<&str> = DIFFERENCES.iter().map(|(row, _)| *row).collect();
    assert_eq!(shown, known, "the rows of the table in docs/concepts.md are those of tests/src/conformance/differences.rs");
    for (row, (name, promises)) in rows.iter().zip(DIFFERENCES) {
        for (broker, cell) in brokers.iter().zip(&row[1..]) {
            let exceptions = EXCEPTIONS.iter().find(|exceptions| exceptions.broker == *broker).unwrap();
            let excepted: Vec<_> = exceptions.promises.iter().filter(|(promise, _)| promises.contains(promise)).collect();
            let is_right = if excepted.is_empty() {
                cell.starts_with("yes")
            } else {
                *cell == "no" || cell.starts_with("no:") || cell.starts_with("not ")
            };
            assert!(is_right, "docs/concepts.md has `{cell}` for {broker}: {name}; its exceptions: {excepted:?}");
        }
    }
}

#[test]
fn every_exception_is_a_difference_between_brokers() {
    let known: BTreeSet<_> = PROMISES.iter().collect();
    let covered: BTreeSet<_> = DIFFERENCES.iter().flat_map(|(_, promises)| *promises).collect();
    assert!(covered.is_subset(&known), "{:?} are not promises", covered.difference(&known));
    for exceptions in EXCEPTIONS {
        for (promise, _) in exceptions.promises {
            assert!(covered.contains(promise), "{}: no row of differences.rs covers {promise}", exceptions.broker);
        }
    }
}
