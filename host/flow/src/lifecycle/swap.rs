//! Swaps the component of one processor, and reverts what hosts refuse.

use std::collections::BTreeSet;

use weir_config::records::{ComponentRef, Refusal};
use weir_config::{Batch, ConfigError};

use super::Lifecycle;
use super::start::put_entry;
use super::stored::json;
use crate::error::{FlowError, Result};
use crate::failpoint::failpoint;
use crate::plan::{EntryKey, SwapRequest, plan_swap, revert, swapped_component, swapped_entry};
use crate::protocol::Swapped;
use weir_pubsub::chain;

impl Lifecycle {
    /// Changes the component of a processor of a flow, for the request with this id. Hosts switch once they have loaded it; this does not wait for
    /// them. A completed request that is redelivered changes nothing: another one may have changed the component since.
    pub(crate) async fn swap(&self, order: SwapRequest, request: &str) -> Result<Swapped> {
        let _flow = self.flows.lock(&order.flow).await;
        let was_done = self.done.contains(request).await?;
        let _writer = self.writer.lock().await;
        let flows = self.flows_around(&order.flow).await?;
        let Some(flow) = flows.records.get(&order.flow) else {
            return Err(FlowError::UnknownFlow { id: crate::naming::shown(&order.flow) });
        };
        let key = swapped_entry(&order, flow)?;
        let entries = self.load_entries(BTreeSet::from([key.clone()])).await?;
        let mut snapshot = self.load_deployed(&flows, &entries).await?;
        let reference = swapped_component(&order, &snapshot)?;
        snapshot.components = self.load_components(&BTreeSet::from([reference])).await?;
        let swap = plan_swap(&order, &key, &snapshot, &self.refusals.of(&key))?;
        let component = swap.entry.component.clone().expect("a swap has a component");
        let unchanged = was_done || swap.old.as_ref() == Some(&component);
        if unchanged {
            self.done.note(request).await?;
        } else {
            failpoint("swap-planned").await;
            let batch = put_entry(Batch::new(), &key, &json(&swap.entry), &entries);
            let written = self.done.write(&self.writes, batch, &[request.to_owned()]).await;
            written.map_err(FlowError::writing(format!("the entry of processor `{}`", key.processor)))?;
            failpoint("swap-done").await;
            let (from, to) = (swap.old.as_ref().map(ComponentRef::key), component.key());
            tracing::info!(flow = order.flow, processor = key.processor, variant = key.variant, from, to, "component swapped");
        }
        let EntryKey { processor, variant } = key;
        Ok(Swapped { processor, variant, component, previous: swap.old, unchanged, sharers: swap.sharers.into_iter().collect() })
    }

    /// Reverts an entry to its previous component because a host can never run the current one.
    pub(crate) async fn revert(&self, key: EntryKey, refusal: Refusal) {
        if let Err(error) = self.try_revert(&key, &refusal).await {
            // The entry stays unchanged until the next swap or the next start of a host: hosts run the previous component meanwhile.
            tracing::warn!(processor = key.processor, variant = key.variant, error = %chain(&error), "entry not restored");
        }
    }

    async fn try_revert(&self, key: &EntryKey, refusal: &Refusal) -> Result<()> {
        let _writer = self.writer.lock().await;
        let entries = self.load_entries(BTreeSet::from([key.clone()])).await?;
        let Some(entry) = entries.whole.get(key).and_then(|entry| revert(entry, refusal)) else { return Ok(()) };
        match self.writes.write(put_entry(Batch::new().with_reserve(), key, &json(&entry), &entries)).await {
            Ok(()) => {}
            // It was swapped or its flow was stopped meanwhile.
            Err(ConfigError::Conflict { .. }) => return Ok(()),
            Err(error) => return Err(FlowError::config("restoring an entry")(error)),
        }
        let (refused, back) = (refusal.component.key(), entry.component.as_ref().map(ComponentRef::key));
        let (processor, variant, error) = (&*key.processor, &*key.variant, &*refusal.problem);
        tracing::error!(processor, variant, refused, back, error, "swap reverted: a host can never run the new component");
        Ok(())
    }
}
