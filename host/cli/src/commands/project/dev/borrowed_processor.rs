//! A processor of a running flow that is used to develop a component: what ran before, and what was deployed meanwhile.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use weir_flow::protocol::Swapped;
use weir_gateway::protocol::RemovedComponent;

use super::status_line::print_status;
use crate::args::Swap;
use crate::commands::deploy::deploy_as;
use crate::commands::swap::KeepPrevious;
use crate::commands::{Session, swap};
use crate::problem::{Exit, Problem};

/// Time limit for a swap.
const SWAP_TIME: Duration = Duration::from_secs(60);

/// A processor that is swapped back at the end.
pub(super) struct BorrowedProcessor {
    session: Session,
    flow: String,
    /// The last swap here.
    last: Option<Swapped>,
    /// What ran before the first one.
    before: Option<String>,
    /// Development versions that are deployed.
    deployed: Vec<String>,
}

impl BorrowedProcessor {
    pub(super) fn new(session: Session, flow: String) -> Self {
        BorrowedProcessor { session, flow, last: None, before: None, deployed: Vec::new() }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn flow(&self) -> &str {
        &self.flow
    }

    /// Deploys a version and swaps it in. Development versions that are no longer referenced are removed: the entry keeps the previous one in case
    /// hosts reject this one.
    pub(super) async fn try_out(&mut self, file: &Path, processor: String, component: &str) -> Result<(), Problem> {
        deploy_as(&self.session, file, component).await?;
        if !self.deployed.iter().any(|deployed| deployed == component) {
            self.deployed.push(component.to_owned());
        }
        let swapped = self.swap_to(processor, component).await;
        // What cannot be removed yet is retried at the end.
        let _ = self.remove_unused().await;
        swapped
    }

    async fn swap_to(&mut self, processor: String, component: &str) -> Result<(), Problem> {
        let swap = request(&self.flow, processor, component);
        let begun = swap::begin(&self.session, &swap, KeepPrevious::Previous).await.map_err(problem)?;
        if self.before.is_none() && !begun.swapped.unchanged {
            self.before = begun.swapped.previous.as_ref().map(|previous| previous.key());
        }
        self.last = Some(begun.swapped.clone());
        begun.finish(&self.session, &swap).await.map(drop)
    }

    /// Swaps back to what ran before, unless another swap happened in between, and removes the development versions.
    pub(super) async fn swap_back(mut self) -> Result<(), Problem> {
        let restored = self.restore().await;
        let left = self.remove_unused().await;
        restored?;
        match left.as_slice() {
            [] => Ok(()),
            [(component, _), ..] => {
                let what = format!("the development version {component} is not removed");
                let next = format!("swap the processors that use it, then: weir components remove {component}");
                let because = left.iter().map(|(_, problem)| problem.to_string()).next().unwrap_or_default();
                Err(Problem::new(Exit::Failed, what).because(anyhow::Error::msg(because)).next(next))
            }
        }
    }

    async fn restore(&mut self) -> Result<(), Problem> {
        let (Some(last), Some(before)) = (self.last.clone(), self.before.clone()) else { return Ok(()) };
        let named = swap::named(&self.session, &last).await.map_err(problem)?;
        if !named.is_empty() && !named.iter().any(|component| self.deployed.contains(component)) {
            return Ok(());
        }
        let processor = format!("{}:{}", last.processor, last.variant);
        let swap = request(&self.flow, processor, &before);
        let back =
            async { swap::begin(&self.session, &swap, KeepPrevious::Nothing).await.map_err(problem)?.finish(&self.session, &swap).await };
        back.await
            .map_err(|problem| problem.or_next(format!("swap it back by hand: weir swap {} {} {before}", self.flow, last.processor)))?;
        print_status(&format!("{} of flow {} runs {before} again", last.processor, self.flow))
    }

    /// Removes unreferenced development versions. Returns those that are left, and why.
    async fn remove_unused(&mut self) -> Vec<(String, Problem)> {
        let mut left = Vec::new();
        for component in std::mem::take(&mut self.deployed) {
            let removal = json!({"component": component}).to_string();
            let path = "/api/v1/weir/components/remove";
            match self.session.client.post::<RemovedComponent>(path, removal).await {
                Ok(_) => {}
                Err(problem) => left.push((component, problem)),
            }
        }
        self.deployed = left.iter().map(|(component, _)| component.clone()).collect();
        left
    }
}

/// Swaps a processor, and waits until it runs.
pub(super) async fn swap_in(session: &Session, flow: &str, processor: String, component: &str) -> Result<(), Problem> {
    swap::perform(session, &request(flow, processor, component)).await.map(drop).map_err(problem)
}

fn request(flow: &str, processor: String, component: &str) -> Swap {
    Swap { flow: flow.to_owned(), processor, component: component.to_owned(), wait: true, timeout: SWAP_TIME, shared: false }
}

fn problem(error: anyhow::Error) -> Problem {
    match error.downcast::<Problem>() {
        Ok(problem) => problem,
        Err(error) => Problem::new(Exit::Failed, "the component was not swapped").because(error),
    }
}
