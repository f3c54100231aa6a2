//! What somebody may have meant who wrote a name that is not there.

pub(crate) use weir_pubsub::nearest;
