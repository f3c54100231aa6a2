//! Starts a RabbitMQ node as the tests do, prints its URL, management URL, process id and folder, one per line, and keeps it running until
//! the standard input or this process ends: `rabbitmq`, with the version in `WEIR_TEST_RABBITMQ`.

use std::io::Read;

use weir_tests::rabbitmq::Node;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let node = Node::start().await;
    let pid = node.pid().ok_or_else(|| anyhow::anyhow!("the node has ended"))?;
    println!("{}\n{}\n{pid}\n{}", node.url(), node.management_url(), node.folder().display());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
