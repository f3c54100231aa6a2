//! What survives a graceful shutdown and restart of the broker. For `kill -9` see `tests/it/crash.rs`.

use std::num::NonZeroU32;

use futures_util::FutureExt;
use futures_util::future::join_all;
use weir_pubsub::{Class, ConsumerOptions, Delete, DeliveryCount, LockName, Overflow, PubsubError, QueueSpec, Routing, Settled, Sharing};

use super::fixture::{BrokerFixture, expect, message, next, output, text, texts};
use crate::wait::{DEADLINE, eventually, within};

/// `publish`: it returns once the message is durable in every queue of the topic.
pub async fn published_messages_survive_a_restart(fixture: &mut BrokerFixture) {
    let (one, two) = (fixture.made(Class::Flow, "a", "one").await, fixture.made(Class::Flow, "a", "two").await);
    fixture.publish(one.topic(), &["1", "2"]).await;
    fixture.restart().await;
    for queue in [&one, &two] {
        assert_eq!(texts(&*fixture.consumer(queue).await, 2).await, ["1", "2"]);
    }
}

/// `Settled::Done`: the message is gone from its queue permanently.
pub async fn settled_messages_stay_gone_after_a_restart(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3"]).await;
    let consumer = fixture.consumer(&queue).await;
    let (first, second, third) = (next(&*consumer).await, next(&*consumer).await, next(&*consumer).await);
    fixture.settle(&first).await;
    fixture.settle(&third).await;
    drop((consumer, second));
    fixture.restart().await;
    assert_eq!(fixture.drained(&queue).await, ["2"]);
}

/// `Consumer`: messages held unsettled are redelivered.
pub async fn held_messages_are_redelivered_after_a_restart(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3"]).await;
    let consumer = fixture.consumer(&queue).await;
    let held = [next(&*consumer).await, next(&*consumer).await];
    drop(consumer);
    fixture.restart().await;
    let consumer = fixture.consumer(&queue).await;
    for old in &held {
        assert_eq!(next(&*consumer).await.message, old.message);
    }
    expect(&*consumer, "3").await;
}

/// `Class::is_durable`: `request` queues do not survive a restart of the broker.
pub async fn request_queues_do_not_survive_the_broker(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Request, "a", "reader").await;
    fixture.publish(queue.topic(), &["gone"]).await;
    fixture.restart().await;
    assert!(!fixture.backend().queue_exists(&queue).await.unwrap());
    fixture.backend().ensure_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    let consumer = fixture.consumer(&queue).await;
    fixture.publish(queue.topic(), &["new"]).await;
    expect(&*consumer, "new").await;
}

/// `settle`: its effects are durable: the outputs are in their queues, the input is not.
pub async fn outputs_of_a_settle_survive_a_restart(fixture: &mut BrokerFixture) {
    let from = fixture.filled("a", &["in", "behind"]).await;
    let to = [fixture.made(Class::Flow, "b", "one").await, fixture.made(Class::Flow, "b", "two").await];
    let consumer = fixture.consumer(&from).await;
    let delivery = next(&*consumer).await;
    let out = output(to[0].topic(), "out", Routing::Required);
    fixture.settle_with(&delivery, vec![out.clone()]).await;
    drop(consumer);
    fixture.restart().await;
    for queue in &to {
        assert_eq!(next(&*fixture.consumer(queue).await).await.message, out.message);
    }
    assert_eq!(fixture.drained(&from).await, ["behind"]);
}

/// `Consumer`: messages come in the order of the queue, which a restart keeps.
pub async fn the_order_survives_a_restart(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2", "3", "4"]).await;
    let consumer = fixture.consumer(&queue).await;
    let (first, second) = (next(&*consumer).await, next(&*consumer).await);
    fixture.settle(&second).await;
    fixture.backend().requeue(&first.receipt).await.unwrap();
    drop(consumer);
    fixture.restart().await;
    fixture.publish(queue.topic(), &["5"]).await;
    assert_eq!(texts(&*fixture.consumer(&queue).await, 4).await, ["1", "3", "4", "5"]);
}

/// `DeliveryCount::Exact`: the broker counts durably for `flow` queues.
pub async fn delivery_counts_survive_a_restart(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2"]).await;
    for count in 1..4 {
        let consumer = fixture.windowed(&queue, 1).await;
        assert_eq!(expect(&*consumer, "1").await.delivery_count, DeliveryCount::Exact(count));
        drop(consumer);
        fixture.restart().await;
    }
    let consumer = fixture.consumer(&queue).await;
    assert_eq!(expect(&*consumer, "1").await.delivery_count, DeliveryCount::Exact(4));
    assert_eq!(expect(&*consumer, "2").await.delivery_count, DeliveryCount::Exact(1));
}

/// `ConsumerOptions::window_bytes`: it also limits messages from before a restart.
pub async fn a_window_limits_bytes_after_a_restart(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["11111", "22222", "33333", "4"]).await;
    fixture.restart().await;
    let consumer = fixture.windowed_bytes(&queue, 12).await;
    let (first, second) = (expect(&*consumer, "11111").await, expect(&*consumer, "22222").await);
    let mut third = consumer.receive();
    assert!(fixture.is_waiting(&mut third).await);
    fixture.settle(&first).await;
    let third = within("room in the window", third).await.unwrap();
    assert_eq!((text(&third.message).as_str(), third.delivery_count.at_least()), ("33333", 1));
    fixture.settle(&second).await;
    drop(consumer);
    fixture.restart().await;
    expect(&*fixture.windowed_bytes(&queue, 12).await, "33333").await;
}

/// `QueueSpec`: the properties with which a queue was created stay.
pub async fn the_properties_of_a_queue_survive_a_restart(fixture: &mut BrokerFixture) {
    let queue = fixture.queue(Class::Flow, "a", "reader");
    let bounded = QueueSpec { queue: queue.clone(), overflow: Overflow::DropOldest { bytes: 8 } };
    fixture.backend().create_queue(&bounded).await.unwrap();
    fixture.publish(queue.topic(), &["1234", "5678"]).await;
    fixture.restart().await;
    fixture.backend().create_queue(&bounded).await.unwrap();
    let error = fixture.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueMismatch { .. }), "{error}");
    fixture.publish(queue.topic(), &["9012"]).await;
    assert_eq!(texts(&*fixture.consumer(&queue).await, 2).await, ["5678", "9012"]);
}

/// `close`: operations requested before are completed.
pub async fn messages_published_before_a_close_survive_it(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let producer = fixture.backend().producer(queue.topic()).await.unwrap();
    let mut confirms = Vec::new();
    for n in 0..20 {
        confirms.push(producer.publish(message(n)).await.unwrap());
    }
    fixture.close().await;
    let confirmed = within("the confirmations", join_all(confirms)).await;
    assert!(confirmed.iter().all(Result::is_ok), "{confirmed:?}");
    drop(producer);
    fixture.restart().await;
    assert_eq!(fixture.drained(&queue).await, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// `close`: it continues closing when the future is dropped.
pub async fn a_cancelled_close_completes(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["kept"]).await;
    let _ = fixture.backend().close().now_or_never();
    let closed = || async { matches!(fixture.backend().queue_exists(&queue).await, Err(PubsubError::Unavailable { .. })).then_some(()) };
    eventually(DEADLINE, "the end", closed).await;
    let consumer = fixture.backend().consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await;
    assert!(matches!(consumer.err(), Some(PubsubError::Unavailable { .. })));
}

/// `close`: later calls get `Unavailable`, from every operation; `failed`: never returns for a closed backend.
pub async fn a_closed_backend_is_unavailable(fixture: &mut BrokerFixture) {
    let queue = fixture.filled("a", &["1", "2"]).await;
    let backend = fixture.backend().clone();
    let producer = backend.producer(queue.topic()).await.unwrap();
    let consumer = fixture.consumer(&queue).await;
    let held = next(&*consumer).await;
    let failed = backend.failed();
    fixture.close().await;
    let spec = QueueSpec::new(fixture.queue(Class::Flow, "b", "reader"));
    let options = ConsumerOptions::default();
    let errors = [
        ("publish", producer.publish_confirmed(message("x")).await.err()),
        ("receive", within("an answer", consumer.receive()).await.err()),
        ("readable", within("an answer", consumer.readable()).await.err()),
        ("settle", within("an answer", backend.settle(&held.receipt, vec![])).await.err().map(Into::into)),
        ("create_queue", backend.create_queue(&spec).await.err()),
        ("ensure_queue", backend.ensure_queue(&spec).await.err()),
        ("delete_queue", backend.delete_queue(&queue, Delete::Always).await.err()),
        ("delete_queue if empty", backend.delete_queue(&queue, Delete::IfEmpty).await.err()),
        ("delete_queues_if_empty", backend.delete_queues_if_empty(std::slice::from_ref(&queue)).await.err()),
        ("queue_exists", backend.queue_exists(&queue).await.err()),
        ("producer", backend.producer(queue.topic()).await.err()),
        ("consumer", backend.consumer(queue.topic(), queue.subscription(), options).await.err()),
        ("stats", backend.inspect().stats(&queue).await.err()),
        ("acknowledge", join_all(backend.acknowledge(&[held.receipt])).await.pop().unwrap().err().map(Into::into)),
        ("requeue", backend.requeue(&held.receipt).await.err()),
        ("lock", backend.lock(&LockName::new("one", queue.topic().topicspace()).unwrap()).await.err()),
        ("subscriber", backend.consumer(&fixture.topic(Class::Notify, "a"), queue.subscription(), options).await.err()),
    ];
    for (operation, error) in errors {
        assert!(matches!(error, Some(PubsubError::Unavailable { .. })), "{operation}: {error:?}");
    }
    assert!(failed.now_or_never().is_none(), "a backend that was closed has not failed");
}

/// `receive`: `Unavailable` when the backend is closed: waiting calls return.
pub async fn closing_wakes_consumers_with_unavailable(fixture: &mut BrokerFixture) {
    let queue = fixture.made(Class::Flow, "a", "reader").await;
    let tap = fixture.inspect().tap(queue.topic(), NonZeroU32::MIN).await.unwrap();
    let consumers = [fixture.consumer(&queue).await, fixture.subscriber(&fixture.topic(Class::Notify, "a")).await, tap];
    let receiving = join_all(consumers.iter().map(|consumer| consumer.receive()));
    let readable = join_all(consumers.iter().map(|consumer| consumer.readable()));
    let (received, readable, ()) = within("the end", async { tokio::join!(receiving, readable, fixture.close()) }).await;
    assert!(received.iter().all(|end| matches!(end, Err(PubsubError::Unavailable { .. }))), "{received:?}");
    assert!(readable.iter().all(|end| matches!(end, Err(PubsubError::Unavailable { .. }))), "{readable:?}");
}

/// `close`: settles and operations called before are completed.
pub async fn settles_submitted_before_a_close_take_effect(fixture: &mut BrokerFixture) {
    let bodies: Vec<String> = (10..30).map(|number| number.to_string()).collect();
    let from = fixture.filled("a", &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let to = fixture.made(Class::Flow, "b", "reader").await;
    let consumer = fixture.consumer(&from).await;
    let mut settles = Vec::new();
    for body in &bodies {
        let delivery = expect(&*consumer, body).await;
        settles.push(fixture.backend().settle(&delivery.receipt, vec![output(to.topic(), body, Routing::Required)]));
    }
    fixture.close().await;
    for settle in settles {
        assert_eq!(within("a settle", settle).await.unwrap(), Settled::Done { dropped_count: 0 });
    }
    drop(consumer);
    fixture.restart().await;
    assert_eq!((fixture.drained(&from).await, fixture.drained(&to).await), (vec![], bodies));
}

/// `close`: what the backend holds is released when it returns: for other processes, immediately.
pub async fn a_closed_backend_releases_everything_it_held(fixture: &mut BrokerFixture) {
    let (queue, request) = (fixture.filled("a", &["held"]).await, fixture.made(Class::Request, "b", "reader").await);
    let exclusive = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
    let name = LockName::new("one", queue.topic().topicspace()).unwrap();
    let other = fixture.beside().await;
    let _lock = fixture.backend().lock(&name).await.unwrap();
    let _exclusive = fixture.backend().consumer(request.topic(), request.subscription(), exclusive).await.unwrap();
    let consumer = fixture.consumer(&queue).await;
    let _held = expect(&*consumer, "held").await;
    fixture.close().await;
    let _lock = within("the lock", other.lock(&name)).await.unwrap();
    other.consumer(request.topic(), request.subscription(), exclusive).await.unwrap();
    let again = other.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    expect(&*again, "held").await;
}
