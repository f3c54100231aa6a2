//! Topics, messages and the brokers that carry them.
//!
//! | class | durable | delivered to | queue created by | queue deleted by |
//! |---|---|---|---|---|
//! | `flow` | yes | one consumer of each subscription | flow service | flow service |
//! | `request` | no | one consumer of each subscription | as `flow` | as `flow` |
//! | `response` | no | every subscriber | the subscriber | the broker, when the subscriber ends |
//! | `notify` | no | every subscriber | as `response` | as `response` |
//!
//! [`Backend`] is the contract of every broker; [`connect`] opens the one selected by the settings. The embedded one needs only a folder:
//!
//! ```
//! use weir_pubsub::embedded::{EmbeddedBroker, EmbeddedOptions};
//! use weir_pubsub::{Backend, ConsumerOptions, Message, Queue, QueueSpec, Settled};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let folder = temporary.path();
//! let broker = EmbeddedBroker::open(folder, EmbeddedOptions::default())?;
//! let queue = Queue::new("flow:tg:orders".parse()?, "billing".parse()?)?;
//! broker.create_queue(&QueueSpec::new(queue.clone())).await?;
//!
//! // Durable when this returns.
//! let producer = broker.producer(queue.topic()).await?;
//! producer.publish_confirmed(Message::new(r#"{"order": 1}"#)).await?;
//!
//! let consumer = broker.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await?;
//! let delivery = consumer.receive().await?;
//! assert_eq!(delivery.message.body, r#"{"order": 1}"#);
//! // Acknowledges the message and sends its outputs, here none, in one step.
//! let settled = broker.settle(&delivery.receipt, Vec::new()).await?;
//! assert_eq!(settled, Settled::Done { dropped_count: 0 });
//! broker.close().await;
//! # Ok(())
//! # }
//! ```

mod backend;
mod bounded;
mod broker_kind;
mod broker_settings;
mod broker_url;
mod connect;
pub mod disk;
pub mod embedded;
mod error;
mod error_text;
mod limits;
mod lock;
mod lock_name;
mod mailbox;
mod message;
mod nearest;
mod network;
mod output;
mod pulsar;
mod rabbitmq;
mod rate_limited_log;
mod recovery;
mod request;
mod retry;
mod subscribe;
mod supervise;
mod tls_files;
mod topic;

pub use backend::{
    Backend, Backlog, BrowseStart, Browsed, Confirm, Consumer, ConsumerOptions, Cursor, Delete, Deletion, Delivery, DeliveryCount, Inspect,
    Lock, LockHolder, LockName, Named, NotACursor, Notice, Output, Overflow, Page, Policy, PolicyState, Producer, Provision, QueueSpec,
    QueueStats, Receipt, Routing, Settled, Sharing, Unsettled,
};
pub use bounded::{create_bounded, ensure_bounded};
pub use broker_kind::{BROKER_KINDS, BrokerKind, ConnectError, RequestQueues, Storage};
pub use broker_settings::{BrokerSettings, EMBEDDED_URL};
pub use broker_url::{check_url, has_password, shown_url};
pub use connect::connect;
pub use error::{Cause, Missing, PubsubError, Result};
pub use error_text::{chain, names, shown};
pub use limits::Limits;
pub use message::{
    CORRELATION_ID, DEFAULT_CONTENT_TYPE, Message, MessageId, NotAMessageId, Properties, WEIR_ERROR, WEIR_FROM, WEIR_ID, WEIR_PART,
};
pub use nearest::nearest;
pub use pulsar::{PulsarBroker, PulsarSettings, check_pulsar_admin_url};
pub use rabbitmq::{RabbitBroker, check_management_url};
pub use rate_limited_log::RateLimitedLog;
pub use recovery::{Recovery, Waits};
pub use request::{Replies, Requester};
pub use retry::Backoff;
pub use subscribe::{SubscriptionEvent, listen};
pub use supervise::{panic_text, restart_on_panic, task_failure};
pub use tls_files::TlsFiles;
pub use topic::{Class, NameError, Queue, Subscription, Topic};
