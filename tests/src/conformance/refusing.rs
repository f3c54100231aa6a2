//! Queues that refuse what is above a bound of their own.

use weir_pubsub::{Class, Overflow, PubsubError, Queue, QueueSpec, Routing};

use super::bed::{Bed, expect, message, next, output};
use crate::wait::within;

fn bounded(queue: &Queue, bytes: u64) -> QueueSpec {
    QueueSpec { queue: queue.clone(), overflow: Overflow::Refuse { bytes } }
}

async fn made(bed: &Bed, name: &str, bytes: u64) -> Queue {
    let queue = bed.queue(Class::Flow, name, "reader");
    bed.backend().create_queue(&bounded(&queue, bytes)).await.unwrap();
    queue
}

async fn is_full(bed: &Bed, queue: &Queue, body: &str) -> bool {
    let producer = bed.backend().producer(queue.topic()).await.unwrap();
    match within("a publish", producer.publish_confirmed(message(body))).await {
        Ok(()) => false,
        Err(PubsubError::QueueFull { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

/// `Overflow::Refuse`: it refuses the message with `QueueFull`; nothing is dropped, and once there is room it accepts again.
pub async fn a_refusing_queue_refuses_what_is_above_its_bound(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.queue(class, "a", "reader");
        bed.backend().create_queue(&bounded(&queue, 10)).await.unwrap();
        bed.publish(queue.topic(), &["1234", "5678"]).await;
        assert!(is_full(bed, &queue, "901").await && !is_full(bed, &queue, "90").await);
        assert_eq!(bed.waiting(&queue).await, ["1234", "5678", "90"]);
        let error = bed.backend().send_to(&queue, message("x")).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueFull { used_bytes: 10, limit_bytes: 10, .. }), "{error}");
        let stats = bed.backend().inspect().stats(&queue).await.unwrap();
        assert_eq!((stats.refuse_above_bytes, stats.refused_count, stats.is_refusing, stats.dropped_count), (Some(10), 2, true, 0));
        bed.settle(&expect(&*bed.consumer(&queue).await, "1234").await).await;
        assert!(!bed.backend().inspect().stats(&queue).await.unwrap().is_refusing.unwrap(), "a message was removed");
        assert!(!is_full(bed, &queue, "x").await);
    }
}

/// `Overflow`: an empty queue accepts a message of any size.
pub async fn an_empty_queue_accepts_a_message_above_its_bound(bed: &mut Bed) {
    let queue = made(bed, "a", 4).await;
    assert!(!is_full(bed, &queue, "123456").await);
    assert!(is_full(bed, &queue, "1").await);
}

/// `settle`: `QueueFull` for an output to a queue that refuses it; the delivery is still held then, and nothing was sent.
pub async fn a_settle_into_a_refusing_queue_is_queue_full_and_the_delivery_stays_held(bed: &mut Bed) {
    let (from, letters, other) =
        (bed.filled("a", &["in"]).await, made(bed, "letters", 6).await, bed.made(Class::Flow, "b", "reader").await);
    let consumer = bed.windowed(&from, 1).await;
    let delivery = expect(&*consumer, "in").await;
    let outputs = || {
        vec![
            output(other.topic(), "out", Routing::Required),
            output(letters.topic(), "1234", Routing::Required),
            output(letters.topic(), "5678", Routing::Optional),
        ]
    };
    let error = within("a settle", bed.backend().settle(&delivery.receipt, outputs())).await.unwrap_err();
    assert!(matches!(&error, PubsubError::QueueFull { used_bytes: 4, limit_bytes: 6, queue } if queue.contains("letters")), "{error}");
    assert!(bed.waiting(&letters).await.is_empty() && bed.waiting(&other).await.is_empty());
    assert_eq!(bed.backend().inspect().stats(&from).await.unwrap().unsettled_count.unwrap(), 1);
    assert!(bed.is_waiting(consumer.receive(), &from).await, "it still fills the window");
    bed.settle_with(&delivery, outputs().drain(..2).collect()).await;
    assert_eq!((bed.waiting(&letters).await, bed.waiting(&other).await), (vec!["1234".to_owned()], vec!["out".to_owned()]));
}

/// `ensure_queue`: a queue without a bound, or with another refusing one, gets the refusing bound of the specification, durably.
pub async fn ensuring_changes_a_refusing_bound_for_good(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &["1234", "5678"]).await;
        for (bytes, expected) in [(8, true), (9, false), (3, true)] {
            bed.backend().ensure_queue(&bounded(&queue, bytes)).await.unwrap();
            assert_eq!(bed.backend().inspect().stats(&queue).await.unwrap().refuse_above_bytes, Some(bytes));
            assert_eq!(is_full(bed, &queue, "x").await, expected, "{bytes}");
        }
        assert_eq!(bed.waiting(&queue).await, ["1234", "5678", "x"], "what is there stays");
        let error = bed.backend().create_queue(&QueueSpec::new(queue.clone())).await.unwrap_err();
        assert!(matches!(error, PubsubError::QueueMismatch { .. }), "{error}");
    }
    bed.restart().await;
    let queue = bed.queue(Class::Flow, "a", "reader");
    bed.backend().create_queue(&bounded(&queue, 3)).await.unwrap();
    assert_eq!(bed.waiting(&queue).await, ["1234", "5678", "x"]);
    assert!(is_full(bed, &queue, "x").await);
    bed.settle(&next(&*bed.consumer(&queue).await).await).await;
    bed.backend().ensure_queue(&bounded(&queue, 100)).await.unwrap();
    bed.publish(queue.topic(), &["y"]).await;
    assert_eq!(bed.waiting(&queue).await, ["5678", "x", "y"]);
}
