//! Many messages of all sizes through one instance after the other, under the memory limit of a language's template: if an engine holds
//! memory too long, or leaks it, the instance is replaced, and no message fails. `WEIR_TEST_SOAK` is the number of messages; a full run has
//! 200,000.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::Instant;
use weir_config::records::{ComponentRecord, Descriptor, Entry, GivenLimits, GrantableLimits, ProcessorState, entry_type};
use weir_pubsub::Message;
use weir_runtime::HostSettings;
use weir_tests::wait::{eventually, seed};

use super::components::{code_of, component};
use crate::host_fixture::{HostFixture, entry};

/// Enough for several replacements of an instance in Python, and for some of the largest messages.
const SHORT_COUNT: usize = 2_000;
/// Compiling a component of these languages takes seconds, and more on a machine that is busy with other work.
const COMPILING_TIME: Duration = Duration::from_secs(300);
/// The maximum of messages in flight.
const AHEAD_COUNT: usize = 32;
const KIB: usize = 1 << 10;
/// Characters of one, two, three and four bytes, and some that JSON escapes.
const TEXTS: [&str; 5] = ["Some plain words. ", "Some \u{201c}quoted\u{201d} \"words\".\n", "\u{e4}\u{f6}\u{fc}", "\u{5b57}", "\u{1f600}"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_sizes_pass_through_javascript_under_the_limit_of_its_template() {
    soak("sdk/js/test/parity", "js-parity", 192 << 20, (4 << 20) - KIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_sizes_pass_through_python_under_the_default_limit() {
    soak("sdk/python/tests/parity", "python-parity", 64 << 20, 1 << 20).await;
}

/// The number of messages.
fn count() -> usize {
    let text = std::env::var("WEIR_TEST_SOAK").ok().filter(|text| !text.is_empty());
    text.map_or(SHORT_COUNT, |text| text.parse().expect("WEIR_TEST_SOAK is a number"))
}

/// Sends messages with texts of 1 KiB to `most` bytes to a component that sends them back, and checks each one returned.
async fn soak(project: &str, name: &str, memory_bytes: u64, most: usize) {
    let file = component(project);
    let bytes = fs::read(&file).unwrap();
    let mut fixture = HostFixture::without_host().await;
    let settings = HostSettings { code_cache: code_of(&file), ..fixture.host_settings() };
    fixture.start_host_as(fixture.backend.clone(), settings).await;
    let set = |record: &mut ComponentRecord| {
        record.limits = record.descriptor.limits.granted(&GivenLimits::default(), &GrantableLimits::default()).unwrap();
        assert_eq!(record.limits.memory_bytes.unwrap_or(64 << 20), memory_bytes);
        record.retry.attempts_count = Some(1);
    };
    let deployed = fixture.deploy_as(name, "0.1.0", &bytes, set).await;
    let descriptor = weir_runtime::inspect(&bytes).unwrap().descriptor;
    let wanted = Entry { topics: topics(&descriptor), ..entry(&deployed, &[], &[]) };
    for consumer in &descriptor.consumers {
        fixture.create(&wanted.topics[&consumer.name], &format!("{name}--v--{}", consumer.name)).await;
    }
    fixture.create("flow:tg:output", "test").await;
    fixture.put(&entry_type(name), "v", &wanted).await;

    let is_up = || async { fixture.status(name).is_some_and(|status| status.state == ProcessorState::Running).then_some(()) };
    let what = std::fmt::from_fn(|f| write!(f, "the component to be compiled: {:?}", fixture.status(name)));
    eventually(COMPILING_TIME, what, is_up).await;

    let (count, began) = (count(), Instant::now());
    let mut texts = Texts::new(most);
    let outputs = fixture.reader("flow:tg:output", "test").await;
    let (mut on_their_way, mut tally) = (VecDeque::new(), Tally::default());
    for at in 0..count + AHEAD_COUNT {
        if at < count {
            let body = texts.next();
            tally.sent_bytes += body.len();
            fixture.send("flow:tg:input", Message::new(body.clone())).await;
            on_their_way.push_back(body);
        }
        if at >= AHEAD_COUNT.min(count)
            && let Some(body) = on_their_way.pop_front()
        {
            tally.take(&body, &outputs.next().await);
        }
    }
    assert!(on_their_way.is_empty());
    let status = fixture.until(name, |status| status.handled_count == count as u64).await;
    println!(
        "{name}: {} messages of {} MiB in all, failed {}, trapped {}, instances replaced {}, {} s",
        tally.returned_count,
        tally.sent_bytes >> 20,
        status.failed_count,
        status.trapped_count,
        tally.begun_count - 1,
        began.elapsed().as_secs()
    );
    assert_eq!((tally.returned_count, status.failed_count, status.dead_count), (count, 0, 0), "{status:?}");
    fixture.end().await;
}

/// The outcome of the messages.
#[derive(Default)]
struct Tally {
    sent_bytes: usize,
    returned_count: usize,
    /// Instances that have handled a message.
    begun_count: usize,
    /// How many messages the newest instance has handled.
    handled_count: usize,
}

impl Tally {
    fn take(&mut self, body: &str, output: &Message) {
        self.returned_count += 1;
        let is_same = output.body[..] == *body.as_bytes() || json_of(&output.body) == json_of(body.as_bytes());
        assert!(is_same, "message {} came back otherwise", self.returned_count);
        // An instance counts the messages that it handles.
        let number = output.properties.get("count").unwrap().parse().unwrap();
        assert!(number == 1 || number == self.handled_count + 1, "message {number} of an instance after {}", self.handled_count);
        self.begun_count += usize::from(number == 1);
        self.handled_count = number;
    }
}

fn json_of(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).unwrap()
}

/// A topic for each name in a component's descriptor.
fn topics(descriptor: &Descriptor) -> BTreeMap<String, String> {
    let answers = descriptor.consumers.iter().filter_map(|consumer| consumer.reply.as_deref()).collect::<Vec<_>>();
    let class = |name: &str| if answers.contains(&name) { "response" } else { "flow" };
    let consumers = descriptor.consumers.iter().map(|it| (&it.name, if it.reply.is_some() { "request" } else { "flow" }));
    let producers = descriptor.producers.iter().map(|it| (&it.name, class(&it.name)));
    let requests = descriptor.requests.iter().flat_map(|it| [(&it.request, "request"), (&it.response, "response")]);
    let topic = |(name, class): (&String, &str)| (name.clone(), format!("{class}:tg:{}", name.replace(':', "-")));
    consumers.chain(producers).chain(requests).map(topic).collect()
}

/// JSON bodies: most are small, some have the maximum size.
struct Texts {
    random: StdRng,
    most: usize,
}

impl Texts {
    fn new(most: usize) -> Self {
        Texts { random: StdRng::seed_from_u64(seed()), most }
    }

    fn next(&mut self) -> String {
        let (least, most) = match self.random.random_range(0..1000) {
            0..900 => (KIB, 16 * KIB),
            900..990 => (16 * KIB, 256 * KIB),
            _ => (256 * KIB, self.most),
        };
        // Equally many of each order of magnitude.
        let bytes = (least as f64 * (most as f64 / least as f64).powf(self.random.random::<f64>())) as usize;
        let text = TEXTS[self.random.random_range(0..TEXTS.len())];
        // Characters that JSON escapes take another byte.
        let body = |text: String| json!({"do": "soak", "text": text, "what": "soak"}).to_string();
        let whole = body(text.repeat(bytes / (text.len() + 3) + 1));
        assert!(whole.len() <= 4 << 20, "{}", whole.len());
        whole
    }
}
