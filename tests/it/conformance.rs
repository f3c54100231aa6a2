//! The promises of the pub/sub layer, each a test of its own, on every broker.

use weir_tests::conformance::{self, Bed, Embedded};
use weir_tests::{for_each_embedded_promise, for_each_promise};

/// Makes a test of every promise on the embedded broker.
macro_rules! tests_on_embedded {
    ($($area:ident: [$($promise:ident),* $(,)?]),* $(,)?) => {
        use super::*;
        $(mod $area {
            use super::*;
            $(#[tokio::test]
            async fn $promise() {
                conformance::$area::$promise(&mut Bed::open(Embedded::new()).await).await;
            })*
        })*
    };
}

mod embedded {
    for_each_promise!(tests_on_embedded);
}

mod embedded_only {
    for_each_embedded_promise!(tests_on_embedded);
}
