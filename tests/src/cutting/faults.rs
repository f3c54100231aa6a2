//! Faults at moments determined by a seed.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Cutting;
use crate::wait::pass;

/// After this many cuts, pauses have grown by their initial maximum.
const PAUSES_COUNT: u32 = 40;

impl Cutting {
    /// Cuts repeatedly, at moments determined by the seed, until the returned value is dropped: both connections or one of them, for an
    /// instant or for some time, between the storing of a message and its confirmation, or by a restart of the broker; or it blocks
    /// publishers for some time. The pauses grow over time, so that work that takes longer than one of them completes even on a slow
    /// machine.
    pub fn keep_cutting(self: &Arc<Self>, seed: u64, longest_pause: Duration) -> KeepsCutting {
        eprintln!("connections are cut by seed {seed}");
        let cutting = self.clone();
        KeepsCutting(tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            for count in 0_u32.. {
                let longest_pause = longest_pause * (1 + count / PAUSES_COUNT);
                pass(longest_pause.mul_f64(rng.random_range(0.1..=1.0))).await;
                let pause = longest_pause.mul_f64(rng.random_range(0.0..=1.0));
                match rng.random_range(0..20) {
                    0 => cutting.restart().await,
                    1 => {
                        cutting.down();
                        pass(pause).await;
                        cutting.up();
                    }
                    2 => {
                        cutting.publishing_down();
                        pass(pause).await;
                        cutting.up();
                    }
                    3 => {
                        cutting.block(longest_pause / 2);
                        pass(pause).await;
                        cutting.unblock();
                    }
                    4..8 => cutting.cut_publishing(),
                    8..12 => cutting.cut_consuming(),
                    12..16 => cutting.lose_next_confirm(None),
                    _ => cutting.cut(),
                }
            }
        }))
    }
}

/// Cuts until it is dropped; then the connection is restored.
pub struct KeepsCutting(tokio::task::JoinHandle<()>);

impl KeepsCutting {
    /// Stops cutting.
    pub async fn end(mut self, cutting: &Cutting) {
        self.0.abort();
        let _ = (&mut self.0).await;
        cutting.unblock();
        cutting.up();
    }
}

impl Drop for KeepsCutting {
    fn drop(&mut self) {
        self.0.abort();
    }
}
