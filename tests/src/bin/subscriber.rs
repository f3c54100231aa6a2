//! A process that follows the configuration over RabbitMQ: `subscriber URL TYPE KEY`. It subscribes, fetches the value, prints it, and
//! exits at the end of its standard input.

use std::io::Read;

use weir_config::ConfigClient;
use weir_pubsub::{Backend, ConsumerOptions, Limits, RabbitBroker, TlsFiles};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, config_type, key] = arguments.as_slice() else { anyhow::bail!("usage: subscriber URL TYPE KEY") };
    let backend = RabbitBroker::connect(url, Limits::default(), &TlsFiles::default(), None).await?;
    let topic = "notify:tg:config".parse()?;
    let notifies = backend.consumer(&topic, &"subscriber".parse()?, ConsumerOptions::default()).await?;
    let client = ConfigClient::connect(backend.clone(), "tg").await?;
    println!("{}", client.get_one(config_type, key).await?.unwrap_or_default());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    drop((notifies, client));
    backend.close().await;
    Ok(())
}
