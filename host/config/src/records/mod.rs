//! What several crates read and write as config values: serde lives here and in `protocol`.

mod component;
mod dead_letter;
mod descriptor;
mod descriptor_faults;
mod entry;
mod fit;
mod naming;
mod status;

pub use component::{COMPONENT_TYPE, ComponentLimits, ComponentRecord, ComponentRef, Digest, NotADigest, RetryPolicy};
pub use dead_letter::{Cut, DEAD_LETTER_PREFIX, DEAD_LETTERS_SUBSCRIPTION, DEAD_LETTERS_TOPIC_NAME, DeadLetter};
pub use descriptor::{
    ConsumerSpec, Descriptor, DescriptorError, GrantSpec, MAX_DESCRIPTOR_BYTES, Named, ParameterKind, ParameterSpec, ProducerSpec,
    RequestSpec,
};
pub use descriptor_faults::descriptor_faults;
pub use entry::{Entry, entry_type, processor_of_entry_type};
pub use fit::{Fit, FitInput, FitOutput, FitRequest, fit};
pub use naming::{entries_naming, named_digests};
pub use status::{
    HostStatus, ProcessorState, ProcessorStatus, Refusal, ReportParts, STATUS_REQUEST_TOPIC_NAME, STATUS_TOPIC_NAME, StatusRequest,
};
