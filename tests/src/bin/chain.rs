//! A process that keeps a chain of queues under load until it is killed: `chain FOLDER FIRST-NUMBER SYNC`. It prints each stored number,
//! one per line.

use std::path::PathBuf;

use weir_pubsub::embedded::SyncMode;
use weir_tests::chain::Chain;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or_else(|| anyhow::anyhow!("usage: chain FOLDER FIRST-NUMBER none|data"));
    let (folder, first) = (PathBuf::from(argument()?), argument()?.parse()?);
    let sync = if argument()? == "none" { SyncMode::None } else { SyncMode::Data };
    Chain::open(&folder, sync).await.run(first, |number| println!("{number}")).await;
    Ok(())
}
