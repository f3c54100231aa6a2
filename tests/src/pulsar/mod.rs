//! A real Apache Pulsar for tests.
//!
//! [`Broker::shared`] is one for all tests of a process, with a tenant for each test. A test that kills or restarts a broker starts its own
//! [`Node`], and one that moves topics between brokers a [`Cluster`]. The jars are installed by `tests/brokers/pulsar.sh`. Pulsar listens
//! on loopback only, and no process or folder of it is left, however the test process ends.
//!
//! | variable | meaning |
//! |---|---|
//! | `WEIR_TEST_PULSAR_URL` | a running broker in place of the shared node, without authentication and without automatic creation of topics
//! |
//! | `WEIR_TEST_PULSAR_ADMIN_URL` | the admin API of that broker, by default port 8080 of its host |

mod admin;
mod broker;
mod cluster;
mod install;
mod node;
mod process;
mod token;

pub use admin::Admin;
pub use broker::{Broker, Role};
pub use cluster::Cluster;
pub use node::{Node, Setup};
pub use token::token_until;
