//! The promises of the pub/sub layer, each a test of its own, on every broker.

use std::collections::BTreeSet;

use weir_tests::conformance::exceptions::EXCEPTIONS;
use weir_tests::conformance::{self, Bed, Embedded, Network, PROMISES};

/// Makes a test of every promise on one broker; `$tested` leaves out its exceptions.
macro_rules! tests_on {
    (($broker:ident, $tested:ident) $($area:ident: [$($promise:ident,)*],)*) => {
        use super::*;
        $(mod $area {
            #[allow(unused_imports, reason = "all promises of a file may be exceptions")]
            use super::*;
            $(weir_tests::$tested! { $promise,
                #[tokio::test]
                async fn $promise() {
                    conformance::$area::$promise(&mut Bed::open($broker::new()).await).await;
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

#[test]
fn exceptions_name_promises_and_give_reasons() {
    let mut known = BTreeSet::new();
    for promise in PROMISES {
        assert!(known.insert(promise), "two promises are named {promise}");
    }
    for exceptions in EXCEPTIONS {
        println!("{}: {} promises are exceptions", exceptions.broker, exceptions.promises.len());
        let mut named = BTreeSet::new();
        for (promise, reason) in exceptions.promises {
            println!("  {promise}: {reason}");
            assert!(known.contains(promise), "{promise} is not a promise of tests/src/conformance/mod.rs");
            assert!(named.insert(promise), "{promise} is named twice");
            assert!(!reason.trim().is_empty(), "{promise} needs a reason");
        }
    }
}
