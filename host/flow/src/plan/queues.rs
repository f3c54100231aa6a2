//! The queues that a flow needs: those of its inputs, and its exits.

use std::collections::{BTreeMap, BTreeSet};

use weir_config::names::{exit_subscription, processor_subscription};
use weir_pubsub::{Class, Queue, Subscription, Topic};

use super::PlanRefusal;
use super::directions::Directions;
use super::draft::{Draft, DraftProcessor, refuse};
use crate::error::Result;
use crate::naming::shown;
use crate::protocol::{Interface, QueueRecord};

/// The queues of one flow as they are collected.
#[derive(Default)]
pub(super) struct Queues {
    records: Vec<QueueRecord>,
    /// The input of each queue, to detect two that would share one.
    places: BTreeMap<String, String>,
    /// The topics that are consumed within the flow.
    consumed: BTreeSet<Topic>,
}

impl Queues {
    /// Adds the queues of a processor's inputs. Topics that are subscribed to directly (`response`, `notify`) need none.
    pub(super) fn add_inputs(&mut self, processor: &DraftProcessor, directions: &Directions) -> Result<()> {
        for (spec, topic) in &directions.inputs {
            self.consumed.insert(topic.clone());
            if topic.class().has_queues() {
                let place = format!("{}, topic `{}`", processor.place, shown(spec));
                let subscription = processor_subscription(&processor.key.processor, &processor.key.variant, spec);
                let subscription = subscription.or_else(|error| refuse(&place, error))?;
                self.add(place, topic, &subscription, None)?;
            }
        }
        Ok(())
    }

    /// Adds a queue for each interface of class `flow` whose messages are not consumed within the flow, so that results are available to later
    /// readers.
    pub(super) fn add_exits(&mut self, draft: &Draft, limit_bytes: u64) -> Result<()> {
        for (name, interface) in &draft.interfaces {
            let Interface::Flow { flow } = interface else { continue };
            // In interfaces an unknown variable is kept: the result is not a topic and cannot be an exit.
            let Ok(topic) = flow.parse::<Topic>() else { continue };
            if topic.class() == Class::Flow && !self.consumed.contains(&topic) {
                let place = format!("section `interfaces`, interface `{}`", shown(name));
                let subscription = exit_subscription(&draft.id, name).or_else(|error| refuse(&place, error))?;
                self.add(place, &topic, &subscription, Some(limit_bytes))?;
            }
        }
        Ok(())
    }

    fn add(&mut self, place: String, topic: &Topic, subscription: &Subscription, limit: Option<u64>) -> Result<()> {
        let queue = Queue::new(topic.clone(), subscription.clone()).or_else(|error| refuse(&place, error))?;
        if let Some(other) = self.places.insert(queue.wire_name(), place.clone()) {
            return refuse(place, PlanRefusal::SharedQueue { queue, other });
        }
        self.records.push(QueueRecord {
            topic: topic.to_string(),
            subscription: subscription.to_string(),
            drop_oldest_above_bytes: limit,
            found: false,
        });
        Ok(())
    }

    pub(super) fn into_records(self) -> Vec<QueueRecord> {
        self.records
    }
}
