//! Producers: who gets what is published, with which id, within which limits.

use weir_pubsub::{Backend, Class, ConsumerOptions, Message, MessageId, PubsubError, Queue, Sharing, Topic};

use super::bed::{Bed, expect, message, next, text, texts};

/// `producer`: no queue needs to exist yet.
pub async fn a_producer_needs_no_queue_yet(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let topic = bed.topic(class, "a");
        let producer = bed.backend().producer(&topic).await.unwrap();
        let queue = bed.made(class, "a", "reader").await;
        producer.publish_confirmed(message("there")).await.unwrap();
        expect(&*bed.consumer(&queue).await, "there").await;
    }
}

/// `publish`: `flow` and `request` without a queue: `QueueNotFound`, and nothing was sent.
pub async fn flow_and_request_without_a_queue_are_queue_not_found(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let producer = bed.backend().producer(&bed.topic(class, "a")).await.unwrap();
        let error = producer.publish_confirmed(message("lost?")).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
        let queue = bed.made(class, "a", "reader").await;
        assert_eq!(bed.backend().inspect().stats(&queue).await.unwrap().depth_count.unwrap(), 0);
    }
}

/// `publish`: `response` and `notify` with nobody there: the message is dropped without an error.
pub async fn response_and_notify_with_nobody_there_are_dropped_without_an_error(bed: &mut Bed) {
    for class in [Class::Response, Class::Notify] {
        let topic = bed.topic(class, "a");
        bed.publish(&topic, &["for nobody"]).await;
        let subscriber = bed.subscriber(&topic).await;
        bed.publish(&topic, &["for somebody"]).await;
        expect(&*subscriber, "for somebody").await;
    }
}

/// `publish`: durable in every queue of the topic; each subscription is a queue of its own.
pub async fn every_subscription_of_a_topic_gets_its_copy(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queues = [bed.made(class, "a", "one").await, bed.made(class, "a", "two").await];
        let other_topic = bed.made(class, "b", "one").await;
        bed.publish(queues[0].topic(), &["1", "2"]).await;
        for queue in &queues {
            let consumer = bed.consumer(queue).await;
            for body in ["1", "2"] {
                bed.settle(&expect(&*consumer, body).await).await;
            }
        }
        assert_eq!(bed.backend().inspect().stats(&other_topic).await.unwrap().depth_count.unwrap(), 0);
    }
}

/// `publish`: a message without an id gets a random one.
pub async fn a_message_without_an_id_gets_one(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &["same", "same"]).await;
        let consumer = bed.consumer(&queue).await;
        let (first, second) = (next(&*consumer).await, next(&*consumer).await);
        assert_ne!(first.message.id.unwrap(), second.message.id.unwrap());
        bed.backend().give_back(&first.receipt).await.unwrap();
        assert_eq!(next(&*consumer).await.message.id, first.message.id, "the same in every delivery");
    }
}

/// `publish`: an id that is set stays.
pub async fn an_id_that_is_set_stays(bed: &mut Bed) {
    let id = Some(MessageId(7));
    for class in Class::ALL {
        let topic = bed.topic(class, "a");
        let consumer =
            if class.has_queues() { bed.consumer(&bed.made(class, "a", "reader").await).await } else { bed.subscriber(&topic).await };
        let producer = bed.backend().producer(&topic).await.unwrap();
        producer.publish_confirmed(Message { id, ..message("mine") }).await.unwrap();
        assert_eq!(next(&*consumer).await.message.id, id, "{class}");
    }
}

/// `publish`: on `response` and `notify` topics an absent id stays absent.
pub async fn an_absent_id_stays_absent_on_response_and_notify(bed: &mut Bed) {
    for class in [Class::Response, Class::Notify] {
        let topic = bed.topic(class, "a");
        let subscriber = bed.subscriber(&topic).await;
        bed.publish(&topic, &["plain"]).await;
        assert_eq!(expect(&*subscriber, "plain").await.message.id, None);
    }
}

/// `Message`: every part of it arrives, whatever its characters.
pub async fn every_part_of_a_message_arrives(bed: &mut Bed) {
    let whole = Message {
        id: Some(MessageId(u128::MAX)),
        from: Some("chunker 0123456789ab 7 1".into()),
        content_type: Some("text/plain".into()),
        expires_in: None,
        ..Message::new(vec![0, 159, 146, 150]).with("id", "42").with("name ü", "").with("empty", "value \u{1f600}")
    };
    for class in Class::ALL {
        let topic = bed.topic(class, "a");
        let consumer =
            if class.has_queues() { bed.consumer(&bed.made(class, "a", "reader").await).await } else { bed.subscriber(&topic).await };
        let producer = bed.backend().producer(&topic).await.unwrap();
        producer.publish_confirmed(whole.clone()).await.unwrap();
        assert_eq!(next(&*consumer).await.message, whole, "{class}");
    }
}

/// `Producer`: messages of one producer keep their order.
pub async fn messages_of_one_producer_keep_their_order(bed: &mut Bed) {
    let bodies: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &bodies).await;
        let consumer = bed.windowed(&queue, 1000).await;
        assert_eq!(texts(&*consumer, bodies.len()).await, bodies, "{class}");
    }
    for class in [Class::Response, Class::Notify] {
        let subscriber = bed.subscriber(&bed.topic(class, "a")).await;
        bed.publish(&bed.topic(class, "a"), &bodies[..100]).await;
        assert_eq!(texts(&*subscriber, 100).await, bodies[..100], "{class}");
    }
}

/// Publishes what is too large by every way in, and sees that each refuses it and nothing of it was sent.
async fn check_too_large(bed: &Bed, word: &str, message: Message) {
    let queue = bed.made(Class::Flow, "a", "reader").await;
    let producer = bed.backend().producer(queue.topic()).await.unwrap();
    for result in [producer.publish_confirmed(message.clone()).await, bed.backend().send_to(&queue, message).await] {
        let error = result.unwrap_err();
        assert!(matches!(error, PubsubError::TooLarge { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    bed.publish(queue.topic(), &["small"]).await;
    expect(&*bed.consumer(&queue).await, "small").await;
}

/// `limits`: what it refuses: a body that is too large. An answer may be larger than a message.
pub async fn a_body_over_the_limit_is_too_large(bed: &mut Bed) {
    let limit = bed.backend().limits().max_message_bytes;
    check_too_large(bed, "body", Message::new(vec![b'x'; limit + 1])).await;

    let queue = bed.made(Class::Flow, "b", "reader").await;
    let producer = bed.backend().producer(queue.topic()).await.unwrap();
    producer.publish_confirmed(Message::new(vec![b'x'; limit])).await.unwrap();
    assert_eq!(next(&*bed.consumer(&queue).await).await.message.body.len(), limit);

    let answers = bed.topic(Class::Response, "a");
    let subscriber = bed.subscriber(&answers).await;
    let producer = bed.backend().producer(&answers).await.unwrap();
    producer.publish_confirmed(Message::new(vec![b'x'; limit + 1])).await.unwrap();
    assert_eq!(next(&*subscriber).await.message.body.len(), limit + 1);
}

/// `limits`: what it refuses: a property whose name is too long.
pub async fn a_property_name_over_the_limit_is_too_large(bed: &mut Bed) {
    let limit = bed.backend().limits().max_property_name_bytes;
    check_too_large(bed, "property name", message("x").with("n".repeat(limit + 1), "v")).await;
}

/// `limits`: what it refuses: properties that are too large together.
pub async fn properties_over_the_limit_are_too_large(bed: &mut Bed) {
    let half = bed.backend().limits().max_properties_bytes / 2;
    check_too_large(bed, "properties", message("x").with("a", "v".repeat(half)).with("b", "v".repeat(half))).await;
}

/// `send_to`: puts a message into one queue, past the topic's other subscriptions.
pub async fn what_is_sent_to_one_queue_passes_the_others(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let (one, other) = (bed.made(class, "a", "one").await, bed.made(class, "a", "other").await);
        bed.publish(one.topic(), &["for both"]).await;
        bed.backend().send_to(&one, message("for one")).await.unwrap();
        assert_eq!(texts(&*bed.consumer(&one).await, 2).await, ["for both", "for one"]);
        assert_eq!(bed.backend().inspect().stats(&other).await.unwrap().depth_count.unwrap(), 1);
    }
}

/// `send_to`: errors as `publish`: `QueueNotFound`.
pub async fn sending_to_a_missing_queue_is_queue_not_found(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        bed.made(class, "a", "other").await;
        let error = bed.backend().send_to(&bed.queue(class, "a", "one"), message("x")).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
    }
}

/// `send_to`: `WrongClass` for `response` and `notify` topics, which have no queues.
pub async fn sending_to_a_queue_of_response_or_notify_is_wrong_class(bed: &mut Bed) {
    for class in [Class::Response, Class::Notify] {
        let error = bed.backend().send_to(&bed.queue(class, "a", "one"), message("x")).await.unwrap_err();
        assert!(matches!(error, PubsubError::WrongClass { .. }), "{error}");
    }
}

/// `send_to`: as `publish`.
pub async fn what_is_sent_to_a_queue_gets_an_id_and_has_limits(bed: &mut Bed) {
    let queue = bed.made(Class::Flow, "a", "reader").await;
    bed.backend().send_to(&queue, message("x")).await.unwrap();
    assert!(next(&*bed.consumer(&queue).await).await.message.id.is_some());
    let long = message("x").with("n".repeat(bed.backend().limits().max_property_name_bytes + 1), "v");
    let error = bed.backend().send_to(&queue, long).await.unwrap_err();
    assert!(matches!(error, PubsubError::TooLarge { .. }), "{error}");
}

/// Fills a topic with bodies of 1 MiB until it is full; gives how many went in.
pub(super) async fn fill(backend: &dyn Backend, topic: &Topic) -> u64 {
    let producer = backend.producer(topic).await.unwrap();
    for sent in 0.. {
        match producer.publish_confirmed(Message::new(vec![b'x'; 1 << 20])).await {
            Ok(()) => assert!(sent < 64, "the queue never fills"),
            Err(PubsubError::QueueFull { used_bytes, limit_bytes, .. }) => {
                assert!(used_bytes + (1 << 20) > limit_bytes, "{used_bytes} of {limit_bytes}");
                return sent;
            }
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("the range is endless")
}

/// `publish`: `QueueFull`: nothing was sent, to none of the topic's queues; once there is room it goes on.
pub async fn a_full_queue_is_queue_full_and_nothing_is_sent(bed: &mut Bed) {
    let (queue, other) = (bed.made(Class::Flow, "a", "slow").await, bed.made(Class::Flow, "a", "quick").await);
    let sent = fill(&**bed.backend(), queue.topic()).await;
    for queue in [&queue, &other] {
        assert_eq!(bed.backend().inspect().stats(queue).await.unwrap().depth_count.unwrap(), sent);
    }
    let error = bed.backend().send_to(&queue, Message::new(vec![b'x'; 1 << 20])).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueFull { .. }), "{error}");
    for queue in [&queue, &other] {
        let consumer = bed.consumer(queue).await;
        for _ in 0..sent {
            bed.settle(&next(&*consumer).await).await;
        }
    }
    bed.publish(queue.topic(), &["room"]).await;
    let delivery = next(&*bed.consumer(&queue).await).await;
    assert_eq!(text(&delivery.message), "room");
}

/// Fills one queue past the others of its topic.
async fn fill_alone(bed: &Bed, queue: &Queue) {
    for sent in 0.. {
        match bed.backend().send_to(queue, Message::new(vec![b'x'; 1 << 20])).await {
            Ok(()) => assert!(sent < 64, "the queue never fills"),
            Err(PubsubError::QueueFull { .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// `publish`: a full queue of a `request` topic does not get the message and counts it as dropped; the message is refused only if no queue
/// has room.
pub async fn a_full_queue_of_a_request_topic_misses_what_the_others_get(bed: &mut Bed) {
    let (slow, quick) = (bed.made(Class::Request, "a", "slow").await, bed.made(Class::Request, "a", "quick").await);
    fill_alone(bed, &slow).await;
    let body = "x".repeat(1 << 20);
    bed.publish(slow.topic(), &[&body, &body]).await;
    assert_eq!(bed.backend().inspect().stats(&quick).await.unwrap().depth_count.unwrap(), 2);
    assert_eq!(bed.backend().inspect().stats(&slow).await.unwrap().dropped_count.unwrap(), 2);
    fill(&**bed.backend(), quick.topic()).await;
    assert_eq!(bed.backend().inspect().stats(&quick).await.unwrap().dropped_count.unwrap(), 0);
}

/// `publish`: a request is refused where queues have exclusive consumers and none of these queues has room.
pub async fn a_request_is_refused_where_the_queue_of_an_exclusive_consumer_is_full(bed: &mut Bed) {
    let (own, other) = (bed.made(Class::Request, "a", "service").await, bed.made(Class::Request, "a", "other").await);
    let options = ConsumerOptions { sharing: Sharing::Exclusive, ..ConsumerOptions::default() };
    let _service = bed.backend().consumer(own.topic(), own.subscription(), options).await.unwrap();
    fill_alone(bed, &own).await;
    let producer = bed.backend().producer(own.topic()).await.unwrap();
    let error = producer.publish_confirmed(Message::new(vec![b'x'; 1 << 20])).await.unwrap_err();
    assert!(matches!(&error, PubsubError::QueueFull { queue, .. } if queue.contains("service")), "{error}");
    assert_eq!(bed.backend().inspect().stats(&other).await.unwrap().depth_count.unwrap(), 0);
}
