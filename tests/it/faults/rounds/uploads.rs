//! Components that are uploaded and fetched through two gateways while one of them is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use weir_config::ConfigClient;
use weir_tests::marked_guest;
use weir_tests::wait::{DEADLINE, eventually, pass};

use super::traffic::Traffic;
use crate::guests;

/// The name that they are deployed under: no flow uses it, and hosts compile them nevertheless.
const NAME: &str = "uploaded";
/// How many different ones, since every host compiles each; after that they are uploaded again.
const DIFFERENT_COUNT: u8 = 6;
/// Marks of components that no other test of these roles uses.
const FIRST_MARK: u8 = 100;

/// A client with the time-out of the tests.
pub(super) fn client() -> reqwest::Client {
    weir_tests::http::client().build().unwrap()
}

/// What is uploaded, and through which gateways.
pub(super) struct Uploads {
    urls: Vec<String>,
    http: reqwest::Client,
    /// The confirmed digests, with the marks of their components.
    confirmed: Mutex<BTreeMap<String, u8>>,
}

impl Uploads {
    /// Through the gateways with these URLs in turn.
    pub(super) fn by(urls: Vec<String>) -> Self {
        Uploads { urls, http: client(), confirmed: Mutex::default() }
    }

    fn confirmed(&self) -> BTreeMap<String, u8> {
        self.confirmed.lock().unwrap().clone()
    }

    /// Uploads components until the traffic is over; returns the confirmed deployments.
    pub(super) async fn upload(&self, traffic: &Traffic) -> BTreeSet<String> {
        let mut deployed = BTreeSet::new();
        let numbers = (0..DIFFERENT_COUNT).cycle();
        for (number, url) in numbers.zip(self.urls.iter().cycle()).take_while(|_| !traffic.is_over()) {
            let mark = FIRST_MARK + number;
            let request = self.http.post(format!("{url}/api/v1/weir/components?name={NAME}&version={number}.0.0"));
            let request = request.header("content-type", "application/wasm").body(marked_guest(guests::ECHO, mark));
            let answer = async { request.send().await?.error_for_status()?.json::<Value>().await };
            if let Ok(answer) = answer.await {
                self.confirmed.lock().unwrap().insert(answer["record"]["digest"].as_str().unwrap().to_owned(), mark);
                deployed.insert(format!("{NAME}@{number}.0.0"));
                traffic.uploaded_count.fetch_add(1, Ordering::Relaxed);
            }
            pass(Duration::from_millis(200)).await;
        }
        deployed
    }

    /// Fetches what was uploaded until the traffic is over. A complete answer contains what was uploaded.
    pub(super) async fn fetch(&self, traffic: &Traffic) {
        while !traffic.is_over() {
            for (digest, mark) in self.confirmed() {
                for url in &self.urls {
                    if let Ok(bytes) = self.fetched(url, &digest).await {
                        assert!(bytes == marked_guest(guests::ECHO, mark), "{url} answers other bytes than the digest {digest} says");
                        traffic.fetched_count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            pass(Duration::from_millis(50)).await;
        }
    }

    async fn fetched(&self, url: &str, digest: &str) -> reqwest::Result<bytes::Bytes> {
        self.http.get(format!("{url}/api/v1/weir/components/{digest}")).send().await?.error_for_status()?.bytes().await
    }

    /// Waits until both gateways return the bytes of everything recorded, and checks that what was confirmed is recorded; then removes it.
    pub(super) async fn are_whole(&self, config: &ConfigClient, deployed: &BTreeSet<String>) {
        let recorded = || async { config.values("component").await.ok() };
        let recorded = eventually(DEADLINE, "the records of components", recorded).await.value;
        let lost: Vec<_> = deployed.iter().filter(|key| !recorded.contains_key(*key)).collect();
        assert!(lost.is_empty(), "of {} confirmed uploads {lost:?} are not recorded", deployed.len());
        for (key, record) in recorded.iter().filter(|(key, _)| key.starts_with(NAME)) {
            let digest = serde_json::from_str::<Value>(record).unwrap()["digest"].as_str().unwrap().to_owned();
            for url in &self.urls {
                let fetch = || async { self.fetched(url, &digest).await.ok() };
                let bytes = eventually(DEADLINE, format!("the bytes of {key} from {url}"), fetch).await;
                let of_mark = |mark: &u8| bytes == marked_guest(guests::ECHO, *mark);
                assert!((FIRST_MARK..FIRST_MARK + DIFFERENT_COUNT).any(|mark| of_mark(&mark)), "{url} answers other bytes for {key}");
            }
            self.post("remove", &json!({"component": key})).await;
        }
        let pruned = self.post("prune", &json!({"dry-run": false})).await;
        assert_eq!(pruned["failures"].as_array().map_or(0, Vec::len), 0, "{pruned}");
    }

    async fn post(&self, operation: &str, body: &Value) -> Value {
        let answer = self.http.post(format!("{}/api/v1/weir/components/{operation}", self.urls[0])).json(body).send().await.unwrap();
        let (status, answer) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert!(status.is_success(), "{operation}: {answer}");
        answer
    }
}
