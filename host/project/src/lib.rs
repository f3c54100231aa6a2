//! An author's project: a folder with `weir.toml`, sources of one language, and fixtures.
//!
//! `manifest` reads `weir.toml` and makes the descriptor from it; `languages` has the template and the build of each language; `building` runs a
//! build, stamps the descriptor and checks the component as a deployment would; `harness` runs a component in the real runtime without a broker;
//! `fixture` has its inputs and expected results.

mod building;
mod command_runner;
mod error;
mod explain;
mod fixture;
mod harness;
mod languages;
mod manifest;
mod scaffold;
mod sources;
mod stamp;

pub use building::{Built, build};
pub use command_runner::CommandRunner;
pub use error::{MANIFEST_NAME, ManifestError, ProjectError};
pub use fixture::{Difference, Fixture, Report, Verdict, accept, as_fixture, decoded, fixture_files, run_fixtures};
pub use harness::{Answer, Case, CaseError, CaseMessage, Harness, LogLine, Observed, ObservedFailure};
pub use languages::{LANGUAGES, Language, Purpose, language};
pub use manifest::{CheckedManifest, Manifest};
pub use scaffold::make;
pub use sources::{Snapshot, newest_change};
pub use stamp::stamp;
