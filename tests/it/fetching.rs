//! A host that fetches its components by digest from a gateway: how it handles each answer, and what it keeps.

mod gateway;

use std::path::Path;
use std::sync::Arc;

use weir_config::ComponentFolder;
use weir_config::records::{ComponentRef, ProcessorState, ProcessorStatus, entry_type};
use weir_gateway::{RemoteGateway, TokenReach, Trust};
use weir_runtime::{FetchedComponents, HostSettings};
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::{guest, marked_guest};

use self::gateway::{Response, StubGateway};
use crate::guests;
use crate::host_fixture::{HostFixture, entry};

const WAY: [(&str, &str); 2] = [("input", "flow:tg:in"), ("output", "flow:tg:out")];
const MAX_COMPONENT_BYTES: u64 = 4 << 20;

/// A fixture whose host fetches from a stub, and keeps what it fetched in its own folder.
struct Fetching {
    fixture: HostFixture,
    gateway: StubGateway,
    folder: tempfile::TempDir,
}

impl Fetching {
    async fn new(cache_bytes: u64) -> Self {
        let fixture = HostFixture::without_host().await;
        for processor in ["p", "q"] {
            fixture.create("flow:tg:in", &format!("{processor}--v--input")).await;
        }
        fixture.create("flow:tg:out", "test").await;
        let (gateway, folder) = (StubGateway::start().await, tempfile::tempdir().unwrap());
        let mut fetching = Fetching { fixture, gateway, folder };
        fetching.start_host(cache_bytes).await;
        fetching
    }

    async fn start_host(&mut self, cache_bytes: u64) {
        let remote = RemoteGateway::new(self.gateway.url(), &Trust::System, None, TokenReach::Encrypted).unwrap();
        let components = Arc::new(FetchedComponents::new(self.components(), remote, MAX_COMPONENT_BYTES));
        let code_cache = self.folder.path().join("cache");
        let settings = HostSettings { components, code_cache, cache_bytes: Some(cache_bytes), ..self.fixture.host_settings() };
        self.fixture.start_host_as(self.fixture.backend.clone(), settings).await;
    }

    fn components(&self) -> ComponentFolder {
        ComponentFolder::new(self.folder.path().join("components"))
    }

    fn kept(&self) -> Vec<String> {
        files(&self.folder.path().join("components"))
    }

    /// Names a component in the entry of a processor.
    async fn name(&self, processor: &str, component: &ComponentRef, previous: Option<&ComponentRef>) {
        self.name_with(processor, component, previous, &[]).await;
    }

    /// The same with a list of what is consumed, which changes nothing except that the entry is retried immediately.
    async fn name_with(&self, processor: &str, component: &ComponentRef, previous: Option<&ComponentRef>, consumed: &[&str]) {
        let mut entry = entry(component, &WAY, &[]);
        entry.consumed = consumed.iter().map(ToString::to_string).collect();
        entry.previous = previous.cloned();
        self.fixture.put(&entry_type(processor), "v", &entry).await;
    }

    async fn deploy(&self, mark: u8) -> ComponentRef {
        self.fixture.deploy_as(guests::ECHO, &format!("{mark}.0.0"), &marked_guest(guests::ECHO, mark), |_| {}).await
    }

    async fn until_runs(&self, processor: &str, component: &ComponentRef) -> ProcessorStatus {
        let is_it = |status: &ProcessorStatus| status.component.as_ref() == Some(component) && status.state == ProcessorState::Running;
        self.fixture.until(processor, is_it).await
    }

    /// Waits until a component is refused for a temporary reason that contains these words.
    async fn until_refused(&self, component: &ComponentRef, words: &[&str]) {
        let status = self.fixture.until("p", |status| {
            let refused = status.refused.as_ref().filter(|refused| refused.component == *component);
            refused.is_some_and(|refused| words.iter().all(|word| refused.problem.contains(word)))
        });
        assert!(!status.await.refused.unwrap().permanent);
    }
}

fn files(folder: &Path) -> Vec<String> {
    let found = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = found.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_is_fetched_once_and_cached() {
    let mut fetching = Fetching::new(1 << 30).await;
    fetching.gateway.says(Response::Component(marked_guest(guests::ECHO, 1)));
    let one = fetching.deploy(1).await;
    fetching.name("p", &one, None).await;
    fetching.name("q", &one, None).await;
    fetching.until_runs("p", &one).await;
    fetching.until_runs("q", &one).await;
    assert_eq!(fetching.gateway.asked(), [format!("GET /api/v1/weir/components/{}", one.digest)]);
    assert_eq!(fetching.kept(), [format!("{}.wasm", one.digest.to_hex())]);
    // After a restart it needs no gateway.
    fetching.fixture.stop_host().await;
    fetching.gateway.says(Response::Nothing);
    fetching.start_host(1 << 30).await;
    fetching.until_runs("p", &one).await;
    assert_eq!(fetching.gateway.asked().len(), 1);
    fetching.fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_are_never_run_and_the_old_component_continues() {
    let fetching = Fetching::new(1 << 30).await;
    fetching.gateway.says(Response::Component(marked_guest(guests::ECHO, 1)));
    let (one, two) = (fetching.deploy(1).await, fetching.deploy(2).await);
    fetching.name("p", &one, None).await;
    fetching.until_runs("p", &one).await;
    fetching.name("p", &two, Some(&one)).await;
    let (digest, came) = (two.digest.to_string(), one.digest.to_string());
    fetching.until_refused(&two, &[&digest, fetching.gateway.url(), "it sent different bytes", &came]).await;
    assert_eq!(fetching.fixture.status("p").unwrap().component.unwrap(), one);
    let outputs = fetching.fixture.outputs().await;
    fetching.fixture.send_text("goes on").await;
    assert_eq!(outputs.next_text().await, "goes on");
    let size = guest(guests::ECHO).len();
    fetching.gateway.says(Response::Component(vec![0; size + 100]));
    fetching.until_refused(&two, &["more bytes arrived than the component's size"]).await;
    assert_eq!(fetching.kept(), [format!("{}.wasm", one.digest.to_hex())]);
    fetching.gateway.says(Response::Component(marked_guest(guests::ECHO, 2)));
    assert_eq!(fetching.until_runs("p", &two).await.refused, None);
    fetching.fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_to_fetch_is_reported_with_the_fix() {
    let fetching = Fetching::new(1 << 30).await;
    let one = fetching.deploy(1).await;
    let mut consumed: &[&str] = &[];
    for (says, words) in [
        (Response::Nothing, "cannot be reached"),
        (Response::Error(404, r#"{"error": {"type": "not-found", "message": "there is none"}}"#), "deploy the same file there again"),
        (Response::Error(404, "<html>"), "not a gateway of Weir: check the address"),
        (Response::Error(401, r#"{"error": {"type": "unauthorized", "message": "show one"}}"#), "requires a token with scope read"),
        (Response::Error(503, r#"{"error": {"type": "unavailable", "message": "the store is away"}}"#), "status 503: the store is away"),
        (Response::Half(marked_guest(guests::ECHO, 1)), "the connection was lost"),
    ] {
        fetching.gateway.says(says);
        consumed = if consumed.is_empty() { &["output"] } else { &[] };
        fetching.name_with("p", &one, None, consumed).await;
        fetching.until_refused(&one, &[words, fetching.gateway.url(), &one.digest.to_string()]).await;
        assert_eq!(fetching.kept(), [""; 0]);
    }
    fetching.gateway.says(Response::Component(marked_guest(guests::ECHO, 1)));
    fetching.name("p", &one, None).await;
    fetching.until_runs("p", &one).await;
    let (file, size_bytes) = (marked_guest(guests::ECHO, 3), MAX_COMPONENT_BYTES + 1);
    let large = fetching.fixture.deploy_as(guests::ECHO, "3.0.0", &file, |record| record.size_bytes = size_bytes).await;
    fetching.name("p", &large, Some(&one)).await;
    fetching.until_refused(&large, &["raise gateway.max-component"]).await;
    fetching.fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_cached_copy_is_refetched() {
    let mut fetching = Fetching::new(1 << 30).await;
    fetching.gateway.says(Response::Component(marked_guest(guests::ECHO, 1)));
    let one = fetching.deploy(1).await;
    fetching.name("p", &one, None).await;
    fetching.until_runs("p", &one).await;
    fetching.fixture.stop_host().await;
    std::fs::remove_dir_all(fetching.folder.path().join("cache")).unwrap();
    std::fs::write(fetching.components().path(one.digest), b"damaged").unwrap();
    fetching.start_host(1 << 30).await;
    fetching.until_runs("p", &one).await;
    assert_eq!(fetching.gateway.asked().len(), 2);
    assert!(fetching.components().get(one.digest).await.unwrap().is_some());
    fetching.fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_stays_within_its_limit_and_keeps_running_components() {
    let fetching = Fetching::new(1).await;
    let mut previous = None;
    for mark in 1..4 {
        fetching.gateway.says(Response::Component(marked_guest(guests::ECHO, mark)));
        let component = fetching.deploy(mark).await;
        fetching.name("p", &component, previous.as_ref()).await;
        fetching.until_runs("p", &component).await;
        previous = Some(component);
    }
    let last = previous.unwrap().digest.to_hex();
    // With the next one, all but the last two are gone. The previous one was still running while it arrived.
    fetching.gateway.says(Response::Component(marked_guest(guests::ECHO, 4)));
    let next = fetching.deploy(4).await;
    fetching.name("p", &next, None).await;
    fetching.until_runs("p", &next).await;
    let allowed = [last, next.digest.to_hex()];
    eventually(DEADLINE, "the old ones to be removed", || {
        let kept = [fetching.kept(), files(&fetching.folder.path().join("cache"))].concat();
        let names = |name: &&String| name.ends_with("wasm") || name.ends_with("crc");
        let only = kept.iter().filter(names).all(|name| allowed.iter().any(|hex| name.starts_with(hex)));
        std::future::ready((only && kept.iter().any(|name| name.starts_with(&allowed[1]))).then_some(()))
    })
    .await;
    fetching.fixture.end().await;
}
