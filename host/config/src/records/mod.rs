//! Config values that several crates read and write. Their serde code is here and in `protocol`.

mod bounds;
mod component;
mod dead_letter;
mod descriptor;
mod descriptor_faults;
mod entry;
mod fit;
mod grant;
mod host_details;
mod host_summary;
mod limits;
mod mismatch;
mod report_parts;
mod requested;
mod status;

pub use bounds::{MAX_CONCURRENCY, MAX_WINDOW, MAX_WORKERS_COUNT};
pub use component::{ComponentRecord, ComponentRef, Digest, NotADigest};
pub use dead_letter::{Cut, DEAD_LETTER_PREFIX, DeadLetter};
pub use descriptor::{
    ConsumerSpec, Descriptor, DescriptorError, GrantSpec, MAX_DESCRIPTOR_BYTES, Named, ParameterKind, ParameterSpec, ProducerSpec,
    RequestSpec, ValueError,
};
pub use descriptor_faults::descriptor_faults;
pub use entry::Entry;
// The config types of records.
pub use crate::names::{COMPONENT_TYPE, ENTRY_TYPE_PREFIX, entry_type, processor_of_entry_type};
pub use fit::{Fit, FitInput, FitOutput, FitRequest, fit};
pub use grant::Grant;
pub use host_details::{DetailsRequest, HostDetails, ReceivedDetails};
pub use host_summary::{HostSummary, MAX_ERRORS_COUNT, MAX_NAMED_COUNT, Totals, VariantError, VariantRefusal};
pub use limits::{ComponentDefaults, ComponentLimits, Effective, GivenLimits, GivenRetry, LimitError, MAX_MEMORY_BYTES, RetryPolicy};
pub use mismatch::{Mismatch, Unfit};
pub use report_parts::{PartNumber, ReportMessages, ReportPart, ReportParts};
pub use requested::{GrantableLimits, NotGranted, RequestedLimits};
pub use status::{HostStatus, ProcessorState, ProcessorStatus, Refusal};
