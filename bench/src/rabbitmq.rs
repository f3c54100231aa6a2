//! A flow of one echo component on RabbitMQ, against a bare client that consumes, publishes, waits for the confirmation and acknowledges,
//! and against a processor of TrustGraph; a flow of three stages; and the time to start and stop a flow of 20 queues.

mod client;
mod python;

use weir_pubsub::{Limits, RabbitBroker, TlsFiles};

use self::client::{Client, Connections};
use crate::network::{Against, NetworkFixture, Workload, print_median};

/// What to measure.
pub(crate) struct Options {
    /// The broker, with an empty virtual host.
    pub(crate) url: String,
    /// How many messages are in flight at a time.
    pub(crate) window: u16,
    pub(crate) messages: u32,
    pub(crate) rounds: u32,
    /// A Python with TrustGraph's packages.
    pub(crate) python: Option<std::path::PathBuf>,
}

pub(crate) async fn run(echo: &[u8], options: &Options) -> anyhow::Result<()> {
    let Options { url, window, messages, rounds, python } = options;
    let backend = RabbitBroker::connect(url, Limits::default(), &TlsFiles::default(), None).await?;
    let fixture = NetworkFixture::open(backend, echo, (*window).into()).await?;
    let client = Client::connect(url).await?;
    let (one, three) = (Workload::one()?, Workload::three()?);
    let (mut to_bare, mut to_single, mut to_python, mut stages) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..*rounds {
        let bare = client.bare_run(Connections::Two, *window, *messages).await?;
        let flow = fixture.flow_run(&client, &one, *messages).await?;
        println!("round {round}: flow {}, bare client {:.0}/s, ratio {:.2}", flow.shown(), bare, flow.rate / bare);
        to_bare.push(Against::of(flow.rate, bare));
        let single = client.bare_run(Connections::One, *window, *messages).await?;
        println!("round {round}: bare client on one connection {single:.0}/s, ratio {:.2}", flow.rate / single);
        to_single.push(Against::of(flow.rate, single));
        if let Some(python) = python {
            let other = python::run(&fixture, &client, url, python, *messages / PYTHON_SHARE).await?;
            println!("round {round}: processor of TrustGraph {other:.0}/s, ratio {:.1}", flow.rate / other);
            to_python.push(Against::of(flow.rate, other));
        }
        let through = fixture.flow_run(&client, &three, *messages / 2).await?;
        println!("round {round}: three stages {}, ratio to one {:.2}", through.shown(), through.rate / flow.rate);
        stages.push(Against::of(through.rate, flow.rate));
    }
    let all = [
        ("a bare client", to_bare),
        ("a bare client on one connection", to_single),
        ("a processor of TrustGraph", to_python),
        ("(three stages) one", stages),
    ];
    let what = format!("flow of echo on RabbitMQ, 1 KiB, window {window}, {messages} messages");
    all.into_iter().for_each(|(against, rounds)| print_median(&what, against, rounds));
    let (start, stop) = fixture.start_and_stop().await?;
    println!("a flow of 20 queues: started in {} ms, stopped in {} ms (medians of 5)", start.as_millis(), stop.as_millis());
    fixture.end().await;
    Ok(())
}

/// A processor of TrustGraph takes this many times longer per message.
const PYTHON_SHARE: u32 = 20;
