//! The promises of the pub/sub layer, each a test of its own, on every broker.

use weir_tests::conformance::{self, Bed, Embedded};

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
    weir_tests::for_each_promise!(tests_on_embedded);
}

mod embedded_only {
    weir_tests::for_each_embedded_promise!(tests_on_embedded);
}
