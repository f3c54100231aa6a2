//! Moving a message out of one queue into another.

use futures_util::future::join_all;
use weir_pubsub::{Class, Message, MessageId, PubsubError, Queue};

use super::bed::{Bed, expect, message, next, text};
use super::publishing::fill;

/// The only message of a queue: its position.
async fn position_in(bed: &Bed, queue: &Queue) -> u64 {
    bed.backend().browse(queue, 0, 1).await.unwrap()[0].position
}

async fn depth(bed: &Bed, queue: &Queue) -> u64 {
    bed.backend().inspect().stats(queue).await.unwrap().depth_count.unwrap()
}

/// `redrive`: into one queue, past the topic's other subscriptions, as a message that was never delivered.
pub async fn redriving_moves_a_message_into_one_queue(bed: &mut Bed) {
    let from = bed.filled("letters", &["dead"]).await;
    let (to, other) = (bed.made(Class::Flow, "a", "one").await, bed.made(Class::Flow, "a", "other").await);
    let consumer = bed.consumer(&from).await;
    bed.backend().give_back(&next(&*consumer).await.receipt).await.unwrap();
    drop(consumer);
    let sent = Message { id: Some(MessageId(7)), content_type: Some("text/plain".into()), ..message("alive").with("colour", "red") };
    assert!(bed.backend().redrive(&from, position_in(bed, &from).await, &to, sent.clone()).await.unwrap());
    let delivery = next(&*bed.consumer(&to).await).await;
    assert_eq!((&delivery.message, delivery.delivery_count), (&sent, 1));
    assert_eq!((depth(bed, &from).await, depth(bed, &other).await), (0, 0));
}

/// `redrive`: `false` if there is no message at that position or it is in work; nothing is sent then.
pub async fn redriving_what_is_gone_or_in_work_sends_nothing(bed: &mut Bed) {
    let (from, to) = (bed.filled("letters", &["1"]).await, bed.made(Class::Flow, "a", "one").await);
    let position = position_in(bed, &from).await;
    let consumer = bed.consumer(&from).await;
    let held = next(&*consumer).await;
    assert!(!bed.backend().redrive(&from, position, &to, message("1")).await.unwrap(), "in work");
    bed.settle(&held).await;
    assert!(!bed.backend().redrive(&from, position, &to, message("1")).await.unwrap(), "settled");
    assert!(!bed.backend().redrive(&from, u64::MAX, &to, message("1")).await.unwrap(), "never there");
    assert_eq!(depth(bed, &to).await, 0);
}

/// `redrive`: `QueueNotFound` when either queue is missing; the message is still in its queue.
pub async fn redriving_without_a_queue_is_queue_not_found_and_the_message_stays(bed: &mut Bed) {
    let from = bed.filled("letters", &["1"]).await;
    bed.made(Class::Flow, "a", "other").await;
    let missing = bed.queue(Class::Flow, "a", "one");
    for (from, to) in [(&from, &missing), (&missing, &from)] {
        let error = bed.backend().redrive(from, 1, to, message("1")).await.unwrap_err();
        assert!(matches!(&error, PubsubError::QueueNotFound { queue } if queue.contains("one")), "{error}");
    }
    assert_eq!(bed.waiting(&from).await, ["1"]);
}

/// `redrive`: as `send_to`: `TooLarge`, `WrongClass`; the message is still in its queue.
pub async fn redriving_has_the_limits_of_sending_and_the_message_stays(bed: &mut Bed) {
    let (from, to) = (bed.filled("letters", &["1"]).await, bed.made(Class::Flow, "a", "one").await);
    let position = position_in(bed, &from).await;
    let large = message("x".repeat(bed.backend().limits().max_message_bytes + 1));
    let error = bed.backend().redrive(&from, position, &to, large).await.unwrap_err();
    assert!(matches!(error, PubsubError::TooLarge { .. }), "{error}");
    for class in [Class::Response, Class::Notify] {
        let error = bed.backend().redrive(&from, position, &bed.queue(class, "a", "one"), message("1")).await.unwrap_err();
        assert!(matches!(error, PubsubError::WrongClass { .. }), "{error}");
    }
    assert_eq!((bed.waiting(&from).await, depth(bed, &to).await), (vec!["1".to_owned()], 0));
}

/// `redrive`: of several calls for one message exactly one sends.
pub async fn of_several_redrives_of_one_message_one_sends(bed: &mut Bed) {
    let (from, to) = (bed.filled("letters", &["0", "1", "2", "3"]).await, bed.made(Class::Flow, "a", "one").await);
    let seen = bed.backend().browse(&from, 0, 4).await.unwrap();
    let calls = seen.iter().flat_map(|letter| std::iter::repeat_n(letter, 8));
    let redrives = calls.map(|letter| bed.backend().redrive(&from, letter.position, &to, letter.message.clone()));
    let sent_count = join_all(redrives).await.into_iter().filter(|sent| *sent.as_ref().unwrap()).count();
    assert_eq!((sent_count, bed.waiting(&to).await), (4, ["0", "1", "2", "3"].map(str::to_owned).to_vec()));
    assert_eq!(depth(bed, &from).await, 0);
}

/// `redrive`: `QueueFull` when the target is; the message is still in its queue, and is sent once there is room.
pub async fn redriving_to_a_full_queue_is_queue_full_and_the_message_stays(bed: &mut Bed) {
    let (from, to) = (bed.filled("letters", &["1"]).await, bed.made(Class::Flow, "a", "one").await);
    let position = position_in(bed, &from).await;
    let sent = fill(&**bed.backend(), to.topic()).await;
    let large = message("x".repeat(1 << 20));
    let error = bed.backend().redrive(&from, position, &to, large.clone()).await.unwrap_err();
    assert!(matches!(error, PubsubError::QueueFull { .. }), "{error}");
    assert_eq!((bed.waiting(&from).await, depth(bed, &to).await), (vec!["1".to_owned()], sent));
    let consumer = bed.consumer(&to).await;
    bed.settle(&next(&*consumer).await).await;
    assert!(bed.backend().redrive(&from, position, &to, large).await.unwrap());
}

/// `redrive`: one atomic durable write.
pub async fn a_redrive_is_there_after_a_restart(bed: &mut Bed) {
    let (from, to) = (bed.filled("letters", &["1", "2"]).await, bed.made(Class::Flow, "a", "one").await);
    let position = position_in(bed, &from).await;
    assert!(bed.backend().redrive(&from, position, &to, message("alive")).await.unwrap());
    bed.restart().await;
    assert_eq!(bed.waiting(&from).await, ["2"]);
    let consumer = bed.consumer(&to).await;
    assert_eq!(expect(&*consumer, "alive").await.delivery_count, 1);
    assert_eq!(text(&bed.backend().browse(&from, 0, 1).await.unwrap()[0].message), "2");
}
