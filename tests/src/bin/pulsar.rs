//! Starts an Apache Pulsar node as the tests do, prints its URL, admin URL, the file with an administrator's token, its process id and
//! folder, one per line, and keeps it running until the standard input or this process ends: `pulsar [JAVA-OPTION...]`.
//!
//! The tests make Java compile quickly rather than well. Benches pass `-XX:TieredStopAtLevel=4 -Xmx2g` for a broker as others run it.

use std::io::Read;

use anyhow::Context;
use weir_tests::pulsar::{Role, Setup};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = std::env::args().skip(1).fold(Setup::default(), Setup::java_option).start().await;
    let pid = node.pid().context("the node has ended")?;
    let token_file = node.token_file(Role::Admin).context("the node has no tokens")?;
    println!("{}\n{}\n{}\n{pid}\n{}", node.url(), node.admin().url(), token_file.display(), node.folder().display());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
