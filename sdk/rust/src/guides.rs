//! Compiles and tests the code in the guides, too.

#[doc = include_str!("../README.md")]
struct Readme;

#[doc = include_str!("../../../docs/writing-a-processor.md")]
struct WritingAProcessor;
