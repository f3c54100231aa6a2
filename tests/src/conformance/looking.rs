//! Looking at a queue without consuming it, and taking chosen messages out.

use weir_pubsub::{Class, Message, PubsubError};

use super::bed::{Bed, expect, next, text, texts};

/// `browse`: looks without taking.
pub async fn browsing_takes_nothing(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &["1", "2", "3"]).await;
        for _ in 0..2 {
            assert_eq!(bed.waiting(&queue).await, ["1", "2", "3"]);
        }
        let consumer = bed.consumer(&queue).await;
        let delivery = expect(&*consumer, "1").await;
        assert_eq!(delivery.delivery_count, 1, "looking is no delivery");
        assert_eq!(texts(&*consumer, 2).await, ["2", "3"]);
    }
}

/// `browse`: up to `limit_count` messages behind a position, 0 for the beginning.
pub async fn browsing_goes_on_behind_a_position(bed: &mut Bed) {
    let queue = bed.filled("a", &["1", "2", "3", "4", "5"]).await;
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = bed.backend().browse(&queue, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        assert!(last.position > after);
        after = last.position;
        seen.extend(page.iter().map(|b| text(&b.message)));
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5"]);
    assert!(bed.backend().browse(&queue, 0, 0).await.unwrap().is_empty());
}

/// `browse`: those in work are left out.
pub async fn browsing_leaves_out_what_is_in_work(bed: &mut Bed) {
    let queue = bed.filled("a", &["1", "2", "3"]).await;
    let consumer = bed.windowed(&queue, 1).await;
    let held = next(&*consumer).await;
    assert_eq!(bed.waiting(&queue).await, ["2", "3"]);
    bed.backend().give_back(&held.receipt).await.unwrap();
    assert_eq!(bed.waiting(&queue).await, ["1", "2", "3"]);
}

/// `browse_heads`: as `browse`, with at most `body_bytes` of each body, and the size of the whole.
pub async fn heads_show_the_beginning_of_each_body_and_its_size(bed: &mut Bed) {
    let large = "x".repeat(bed.backend().limits().max_message_bytes);
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &["", "12345"]).await;
        let whole = Message { content_type: Some("text/plain".into()), from: Some("f".into()), ..Message::new(large.clone()) };
        bed.backend().send_to(&queue, whole.with("colour", "red")).await.unwrap();
        for restarted in [false, true] {
            if restarted && class == Class::Flow {
                bed.restart().await;
            }
            let heads = bed.backend().browse_heads(&queue, 0, 9, 3).await.unwrap().heads;
            let shown: Vec<_> = heads.iter().map(|head| (text(head.message.as_ref().unwrap()), head.body_bytes)).collect();
            assert_eq!(shown, [(String::new(), 0), ("123".to_owned(), 5), ("xxx".to_owned(), large.len() as u64)]);
            let (head, whole) = (heads[2].message.as_ref().unwrap(), &bed.backend().browse(&queue, 0, 9).await.unwrap()[2]);
            assert_eq!(
                (head.id, &head.properties, &head.content_type),
                (whole.message.id, &whole.message.properties, &whole.message.content_type)
            );
            assert_eq!((heads[2].position, head.from.as_deref()), (whole.position, Some("f")));
        }
    }
}

/// `browse_heads`: those behind a position, in order, without what is in work; `newest` is at or before whatever arrives later.
pub async fn heads_go_on_behind_a_position_and_name_the_newest(bed: &mut Bed) {
    let queue = bed.filled("a", &["1", "2", "3"]).await;
    let consumer = bed.windowed(&queue, 1).await;
    let held = expect(&*consumer, "1").await;
    let page = bed.backend().browse_heads(&queue, 0, 1, 9).await.unwrap();
    assert_eq!((page.heads.len(), text(page.heads[0].message.as_ref().unwrap())), (1, "2".to_owned()));
    bed.settle(&held).await;
    bed.publish(queue.topic(), &["4"]).await;
    let rest = bed.backend().browse_heads(&queue, page.heads[0].position, 9, 9).await.unwrap();
    let shown: Vec<_> = rest.heads.iter().map(|head| text(head.message.as_ref().unwrap())).collect();
    assert_eq!(shown, ["3", "4"]);
    assert!(rest.heads[0].position <= page.newest && page.newest < rest.heads[1].position && rest.heads[1].position <= rest.newest);
}

/// `take`: removes one message from a queue.
pub async fn taking_removes_one_message(bed: &mut Bed) {
    for class in [Class::Flow, Class::Request] {
        let queue = bed.made(class, "a", "reader").await;
        bed.publish(queue.topic(), &["1", "2", "3"]).await;
        let second = bed.backend().browse(&queue, 0, 2).await.unwrap().remove(1);
        assert!(bed.backend().take(&queue, second.position).await.unwrap());
        assert_eq!(bed.backend().inspect().stats(&queue).await.unwrap().depth_count.unwrap(), 2);
        assert_eq!(texts(&*bed.consumer(&queue).await, 2).await, ["1", "3"]);
    }
}

/// `take`: `false` if it is not there or is in work.
pub async fn what_is_in_work_or_gone_cannot_be_taken(bed: &mut Bed) {
    let queue = bed.filled("a", &["1", "2"]).await;
    let seen = bed.backend().browse(&queue, 0, 2).await.unwrap();
    let consumer = bed.windowed(&queue, 1).await;
    let held = next(&*consumer).await;
    assert!(!bed.backend().take(&queue, seen[0].position).await.unwrap(), "in work");
    bed.settle(&held).await;
    assert!(!bed.backend().take(&queue, seen[0].position).await.unwrap(), "settled");
    assert!(bed.backend().take(&queue, seen[1].position).await.unwrap());
    assert!(!bed.backend().take(&queue, seen[1].position).await.unwrap(), "taken");
    assert!(!bed.backend().take(&queue, u64::MAX).await.unwrap(), "never there");
}

/// `browse`, `take`: `QueueNotFound`.
pub async fn looking_at_a_missing_queue_is_queue_not_found(bed: &mut Bed) {
    let queue = bed.queue(Class::Flow, "a", "reader");
    let errors = [
        bed.backend().browse(&queue, 0, 1).await.unwrap_err(),
        bed.backend().browse_heads(&queue, 0, 1, 1).await.unwrap_err(),
        bed.backend().take(&queue, 1).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, PubsubError::QueueNotFound { .. }), "{error}");
    }
}
