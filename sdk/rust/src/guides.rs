//! The code in the guides compiles and keeps its promises, too.

#[doc = include_str!("../README.md")]
struct Readme;

#[doc = include_str!("../../../docs/writing-a-processor.md")]
struct WritingAProcessor;
