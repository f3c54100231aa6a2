//! Operations that callers cancel while they begin.

use weir_pubsub::{Backend, ConsumerOptions};
use weir_tests::rabbitmq::{Broker, DefaultQueues};
use weir_tests::wait::{DEADLINE, eventually, given_up, within};

use super::connection::connected;
use super::up::queues;

#[tokio::test]
async fn a_subscription_abandoned_during_its_start_leaves_no_queue() {
    let broker = Broker::shared().await;
    let vhost = broker.vhost(DefaultQueues::Classic).await;
    let backend = connected(vhost.url().to_owned()).await;
    let (topic, name) = ("response:tg:a".parse().unwrap(), "reader".parse().unwrap());
    // More polls than it takes to bind a subscription.
    for polls_count in 0..20 {
        let opening = backend.consumer(&topic, &name, ConsumerOptions::default());
        drop(within("a subscription", given_up(polls_count, opening)).await);
    }
    let are_gone = || async { queues(broker.management(), &vhost).await.is_empty().then_some(()) };
    eventually(DEADLINE, "the queues of subscriptions to be gone", are_gone).await;
}
