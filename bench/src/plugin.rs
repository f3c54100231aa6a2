//! Any component that handles texts: its time per KiB, and the memory that an instance needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::json;
use tokio::time::Instant;
use weir_config::records::{ComponentRecord, Descriptor, Entry};
use weir_config::{Change, Content};
use weir_pubsub::embedded::EmbeddedBroker;
use weir_pubsub::{Message, MessageId};
use weir_runtime::{CompiledComponent, Engine, Instance, Outcome, Program, ProgramEnvironment};

use crate::fixture;

const PAGE_BYTES: u64 = 64 << 10;
const MAX_MEMORY_PAGES: u64 = 1024;

/// The component and the texts.
#[derive(Args)]
pub(crate) struct Options {
    /// The component.
    component: PathBuf,
    /// Files of text, or folders that hold some.
    #[arg(required = true)]
    texts: Vec<PathBuf>,
    /// Bytes of text in a message, about; 0 sends each file as one.
    #[arg(long, default_value_t = 2000)]
    size: usize,
    /// A parameter, as NAME=VALUE.
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// The input that the messages come by; the first one that takes messages, not requests, unless given.
    #[arg(long)]
    input: Option<String>,
    /// An output besides those that the descriptor names, for a component that takes any.
    #[arg(long = "output", value_name = "NAME")]
    outputs: Vec<String>,
    /// A value of the configuration, from a file.
    #[arg(long, num_args = 3, value_names = ["TYPE", "KEY", "FILE"], action = clap::ArgAction::Append)]
    config: Vec<String>,
    /// Rounds, of which the fastest counts.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

/// A component that can be instantiated, with any limit on memory.
struct Subject {
    bytes: Vec<u8>,
    entry: Entry,
    /// The index of the input among those of the descriptor.
    input: usize,
    config: Change,
    broker: Arc<EmbeddedBroker>,
    loaded: Arc<CompiledComponent>,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let (messages, kib) = messages(&options.texts, options.size)?;
    ensure!(!messages.is_empty(), "no UTF-8 text was found there");
    let folder = tempfile::tempdir()?;
    let subject = Subject::load(options, folder.path())?;
    let mut instance = subject.instance(None).await?;
    let first = subject.round(&mut instance, &messages[..1]).await?;
    let (mut best_us, mut outputs) = (f64::MAX, 0);
    for _ in 0..options.rounds {
        let begin = Instant::now();
        outputs = subject.round(&mut instance, &messages).await?;
        best_us = best_us.min(begin.elapsed().as_secs_f64() * 1e6);
    }
    drop(instance);
    let memory = subject.memory_pages(&messages).await? * PAGE_BYTES;
    println!(
        "{}, {} messages, {kib:.0} KiB of text, {outputs} outputs ({first} of the first)",
        options.component.display(),
        messages.len()
    );
    println!("size            {:.0} KiB", subject.bytes.len() as f64 / 1024.0);
    println!("start           {:.1} ms to an instance that is set up, with its code cached", subject.start_ms().await?);
    println!(
        "time            {:.1} us per KiB, {:.0} us per message; fastest of {} rounds",
        best_us / kib,
        best_us / messages.len() as f64,
        options.rounds
    );
    println!("memory          {:.1} MiB, the lowest limit with which everything works", memory as f64 / f64::from(1 << 20));
    Ok(())
}

impl Subject {
    fn load(options: &Options, folder: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(&options.component).with_context(|| options.component.display().to_string())?;
        let descriptor = fixture::deployment(&bytes)?.1.descriptor;
        let engine = Engine::new(4, &folder.join("cache"))?;
        let loaded = Arc::new(CompiledComponent::of_bytes(&engine, &bytes)?);
        let input = input(options, &descriptor)?;
        let (entry, config) = (entry(options, &descriptor)?, config(&options.config)?);
        Ok(Self { entry, input, config, broker: fixture::broker(&folder.join("queues"))?, loaded, bytes })
    }

    async fn instance(&self, memory_bytes: Option<u64>) -> anyhow::Result<Instance> {
        let (component, mut record): (_, ComponentRecord) = fixture::deployment(&self.bytes)?;
        if let Some(bytes) = memory_bytes {
            record.limits.memory_bytes = Some(bytes);
        }
        // As many as the texts require.
        record.limits.sends_count = Some(1 << 20);
        let environment = ProgramEnvironment { backend: self.broker.clone(), stop: Default::default(), defaults: Default::default() };
        let program = Program::new(("subject", "bench"), &self.entry, component, &record, self.loaded.clone(), environment)?;
        Ok(Instance::start_alone(&Arc::new(program), self.config.clone()).await?)
    }

    async fn start_ms(&self) -> anyhow::Result<f64> {
        let mut best = f64::MAX;
        for _ in 0..5 {
            let begin = Instant::now();
            drop(self.instance(None).await?);
            best = best.min(begin.elapsed().as_secs_f64() * 1e3);
        }
        Ok(best)
    }

    /// Handles all messages; returns how many outputs they produced.
    async fn round(&self, instance: &mut Instance, messages: &[Message]) -> anyhow::Result<usize> {
        let mut outputs = 0;
        for message in messages {
            match instance.handle(self.input, message, 1).await {
                Outcome::Done(handled) => outputs += handled.outputs.len(),
                Outcome::Failed(fault) => bail!("a message was not handled: {}", fault.reason),
            }
        }
        Ok(outputs)
    }

    /// The fewest pages in which an instance starts and handles all messages.
    async fn memory_pages(&self, messages: &[Message]) -> anyhow::Result<u64> {
        let (mut too_few, mut enough) = (0, MAX_MEMORY_PAGES);
        while too_few + 1 < enough {
            let pages = u64::midpoint(too_few, enough);
            let works = match self.instance(Some(pages * PAGE_BYTES)).await {
                Ok(mut instance) => self.round(&mut instance, messages).await.is_ok(),
                Err(_) => false,
            };
            *(if works { &mut enough } else { &mut too_few }) = pages;
        }
        Ok(enough)
    }
}

/// The input of the messages.
fn input(options: &Options, descriptor: &Descriptor) -> anyhow::Result<usize> {
    let wanted = |name: &str, answers: bool| options.input.as_deref().map_or(!answers, |wanted| wanted == name);
    let found = descriptor.consumers.iter().position(|spec| wanted(&spec.name, spec.reply.is_some()));
    found.or(descriptor.consumers.is_empty().then_some(0)).context("the component has no such input")
}

/// The entry that the flow service would write: a topic for everything that the descriptor names, and for the further outputs.
fn entry(options: &Options, descriptor: &Descriptor) -> anyhow::Result<Entry> {
    // Without a descriptor a component has an input and an output.
    let mut entry = if descriptor.consumers.is_empty() { fixture::entry() } else { Entry::default() };
    let mut give = |spec: &str, class: &str| entry.topics.insert(spec.to_owned(), format!("{class}:tg:{spec}:bench"));
    for consumer in &descriptor.consumers {
        give(&consumer.name, if consumer.reply.is_some() { "request" } else { "flow" });
    }
    let answers: Vec<&str> = descriptor.consumers.iter().filter_map(|spec| spec.reply.as_deref()).collect();
    for producer in descriptor.producers.iter().filter(|spec| spec.name != "*") {
        give(&producer.name, if answers.contains(&producer.name.as_str()) { "response" } else { "flow" });
    }
    options.outputs.iter().for_each(|output| drop(give(output, "flow")));
    for text in &options.parameters {
        let (name, value) = text.split_once('=').with_context(|| format!("`{text}` is not NAME=VALUE"))?;
        entry.parameters.insert(name.to_owned(), value.to_owned());
    }
    Ok(entry)
}

fn config(values: &[String]) -> anyhow::Result<Change> {
    let mut types: BTreeMap<String, Content> = BTreeMap::new();
    for value in values.chunks(3) {
        let [config_type, key, file] = value else { bail!("a value of the configuration is TYPE KEY FILE") };
        let text = std::fs::read_to_string(file).with_context(|| file.clone())?;
        types.entry(config_type.clone()).or_default().insert(key.clone(), text);
    }
    Ok(Change { version: 1, types: types.into_iter().map(|(name, content)| (name, Arc::new(content))).collect() })
}

/// The texts as messages of about this size, and their total in KiB.
fn messages(places: &[PathBuf], size: usize) -> anyhow::Result<(Vec<Message>, f64)> {
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for file in files(places)? {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        bytes += text.len();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let end = if size == 0 { rest.len() } else { rest.ceil_char_boundary(size) };
            let (chunk, behind) = rest.split_at(end);
            let id = MessageId(messages.len() as u128);
            let body = json!({ "id": file.display().to_string(), "text": chunk }).to_string();
            messages.push(Message { id: Some(id), ..Message::new(body) });
            rest = behind;
        }
    }
    Ok((messages, bytes as f64 / 1024.0))
}

fn files(places: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut open) = (Vec::new(), places.to_vec());
    while let Some(place) = open.pop() {
        if place.is_dir() {
            let entries = std::fs::read_dir(&place).with_context(|| place.display().to_string())?;
            open.extend(entries.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path()));
        } else {
            files.push(place);
        }
    }
    files.sort();
    Ok(files)
}
