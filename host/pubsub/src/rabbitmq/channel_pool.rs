//! Channels for declarations. Each call has a time-out: on a cluster a call can hang for more than a minute.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use lapin::Channel;
use tokio::time::timeout;

use super::broker_error::BrokerError;
use super::link::{ConnectionSettings, Link, Up};
use crate::error::Result;
use crate::lock::lock;

/// The time-out of one call.
pub(super) const CALL_TIME: Duration = Duration::from_secs(10);
/// The maximum number of idle channels kept for later calls.
const POOLED_COUNT: usize = 32;

/// Channels of one connection, for short calls only.
pub(super) struct ChannelPool {
    link: Arc<Link>,
    kept: Arc<Mutex<Vec<(u64, Channel)>>>,
}

impl ChannelPool {
    pub(super) fn over(settings: Arc<ConnectionSettings>) -> Self {
        ChannelPool { link: Arc::new(Link::start(settings, "declaring")), kept: Arc::default() }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// A channel for a sequence of calls.
    pub(super) async fn channel(&self) -> Result<PooledChannel> {
        let up = self.link.up()?;
        loop {
            let kept = lock(&self.kept).pop();
            match kept {
                Some((number, channel)) if number == up.number && channel.status().connected() => {
                    return Ok(self.pooled(up, channel));
                }
                Some(_) => {}
                None => break,
            }
        }
        let channel = open(&self.link, &up).await?;
        Ok(self.pooled(up, channel))
    }

    fn pooled(&self, up: Up, channel: Channel) -> PooledChannel {
        PooledChannel { link: self.link.clone(), kept: self.kept.clone(), number: up.number, channel: Some(channel) }
    }
}

/// Opens a channel of a link's connection.
pub(super) async fn open(link: &Link, up: &Up) -> Result<Channel> {
    let opened = call(link, "opening a channel", up.connection.create_channel()).await;
    opened.map_err(BrokerError::plain)
}

/// Waits for the broker's response to a call. After a time-out the connection is abandoned: the broker may still execute the call.
pub(super) async fn call<T>(link: &Link, what: &str, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    match timeout(CALL_TIME, answer).await {
        Ok(answer) => answer.map_err(BrokerError::from),
        Err(_) => {
            link.renew();
            Err(BrokerError::timed_out(what))
        }
    }
}

/// A channel that returns to the pool when it is dropped, unless a call failed: the broker then closes it.
pub(super) struct PooledChannel {
    link: Arc<Link>,
    kept: Arc<Mutex<Vec<(u64, Channel)>>>,
    number: u64,
    channel: Option<Channel>,
}

impl PooledChannel {
    pub(super) fn raw(&self) -> Channel {
        self.channel.clone().expect("it is taken only when it is dropped")
    }

    /// Waits for the response to a call on this channel.
    pub(super) async fn call<T>(&self, what: &str, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
        call(&self.link, what, answer).await
    }
}

impl Drop for PooledChannel {
    fn drop(&mut self) {
        let Some(channel) = self.channel.take() else { return };
        let mut kept = lock(&self.kept);
        if channel.status().connected() && kept.len() < POOLED_COUNT {
            kept.push((self.number, channel));
        }
    }
}
