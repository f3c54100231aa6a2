//! A real RabbitMQ for tests.
//!
//! [`Broker::shared`] is one for all tests of a process, with a fresh [`Vhost`] for each test. A test that kills, pauses or configures a
//! broker starts its own [`Node`]. The server is installed by `tests/brokers/rabbitmq.sh`; it listens on loopback only, and no process or
//! folder of it is left, however the test process ends.
//!
//! | variable | meaning |
//! |---|---|
//! | `WEIR_TEST_RABBITMQ` | the version to test on: `3.10`, `4.0` (default) or `4.3` |
//! | `WEIR_TEST_RABBITMQ_URL` | a running broker in place of the shared node; its user must be an administrator |
//! | `WEIR_TEST_RABBITMQ_MANAGEMENT_URL` | the management API of that broker, by default port 15672 of its host |

mod broker;
mod install;
mod management;
mod node;
mod setup;
mod vhost;

pub use broker::Broker;
pub use install::Version;
pub use management::Management;
pub use node::Node;
pub use setup::Setup;
pub use vhost::{DefaultQueues, Vhost};
