//! The queues of a Pulsar: filled by Weir's own producer, and watched through the admin API.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use reqwest::Url;
use serde_json::Value;
use tokio::time::Instant;
use weir_pubsub::{Backend, Message, PulsarBroker, Queue};

use crate::network::{Ends, FROM, body};

/// How often the output is checked. A check costs the broker as much as a few messages.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How many messages are published at a time.
const PRELOAD_COUNT: u32 = 500;

/// The figures of topics.
pub(super) struct Stats {
    backend: Arc<PulsarBroker>,
    admin: Url,
    token: Option<String>,
    http: reqwest::Client,
}

impl Stats {
    pub(super) fn of(backend: Arc<PulsarBroker>, admin: &str, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let token = token_file.map(|file| std::fs::read_to_string(file).with_context(|| file.display().to_string())).transpose()?;
        let token = token.map(|token| token.trim().to_owned());
        Ok(Stats { backend, admin: admin.parse().context("--pulsar-admin")?, token, http: reqwest::Client::builder().no_proxy().build()? })
    }

    async fn stats(&self, queue: &Queue) -> anyhow::Result<Value> {
        let mut url = self.admin.clone();
        let topic = queue.topic();
        let path = ["admin", "v2", "persistent", topic.topicspace(), "flow", topic.name(), "stats"];
        url.path_segments_mut().map_err(|()| anyhow::anyhow!("--pulsar-admin: not an address of HTTP"))?.pop_if_empty().extend(path);
        let mut request = self.http.get(url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// How many messages of a queue are not acknowledged.
    pub(super) async fn backlog(&self, queue: &Queue) -> anyhow::Result<u64> {
        let stats = self.stats(queue).await?;
        stats["subscriptions"][queue.subscription().as_str()]["msgBacklog"].as_u64().context("the broker shows no backlog")
    }
}

impl Ends for Stats {
    async fn preload(&self, queue: &Queue, messages: u32) -> anyhow::Result<()> {
        let producer = self.backend.producer(queue.topic()).await?;
        let mut left = messages;
        while left > 0 {
            let count = left.min(PRELOAD_COUNT);
            let sent = (0..count).map(|_| async {
                let message = Message { from: Some(FROM.into()), ..Message::new(body()) };
                producer.publish_confirmed(message).await
            });
            try_join_all(sent).await?;
            left -= count;
        }
        Ok(())
    }

    async fn filled(&self, queue: &Queue, messages: u32) -> anyhow::Result<f64> {
        let mut look = tokio::time::interval(POLL_INTERVAL);
        let mut first = None;
        loop {
            look.tick().await;
            let count = self.stats(queue).await?["msgInCounter"].as_u64().context("the broker counts no messages")?;
            let count = u32::try_from(count)?;
            if count == 0 {
                continue;
            }
            let (began, count_then) = *first.get_or_insert((Instant::now(), count));
            if count >= messages {
                ensure!(count == messages, "{count} of {messages} messages came out");
                return Ok(f64::from(messages - count_then) / began.elapsed().as_secs_f64());
            }
        }
    }
}
