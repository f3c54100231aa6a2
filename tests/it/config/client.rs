//! The client alone.

use std::time::Duration;

use weir_config::{Batch, ConfigClient, ConfigError, MAX_REQUEST_ENTRIES_COUNT};
use weir_pubsub::PubsubError;

use super::fake::{Fake, Instead};
use super::faulty::Faulty;
use super::support::{ConfigFixture, within_deadline};

#[tokio::test]
async fn a_put_of_ten_mebibytes_is_refused_before_it_is_sent() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    let error = client.apply(Batch::new().put("t", "k", "x".repeat(10 << 20))).await.unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { source: PubsubError::TooLarge { limit_bytes, .. } } if limit_bytes == 4 << 20));
    assert!(!error.is_transient());
    assert_eq!(client.get_one("t", "k").await.unwrap(), None);
}

#[tokio::test]
async fn an_invalid_batch_is_refused_before_it_is_sent() {
    let fixture = ConfigFixture::new();
    let client = fixture.client().await;
    let both = Batch::new().put("t", "k", "v").delete("t", "k");
    assert!(matches!(client.apply(both).await, Err(ConfigError::Refused { .. })));
    let many = (0..=MAX_REQUEST_ENTRIES_COUNT).fold(Batch::new(), |batch, n| batch.delete("t", n.to_string()));
    assert!(matches!(client.apply(many).await, Err(ConfigError::Refused { .. })));
}

#[tokio::test]
async fn a_missing_service_is_a_temporary_error() {
    let fixture = ConfigFixture::new();
    let client = fixture.client().await;
    let error = within_deadline(client.version()).await.unwrap_err();
    assert!(matches!(error, ConfigError::Unavailable { .. }) && error.is_transient(), "{error}");
    let _service = fixture.service().await;
    client.version().await.unwrap();
}

#[tokio::test]
async fn a_fetch_returns_config_and_version() {
    let fixture = ConfigFixture::new();
    let _fake = Fake::start(&fixture.backend, 7, &[("t", "k", "v")]).await;
    let client = fixture.client().await;
    let everything = client.everything().await.unwrap();
    assert_eq!((everything.version, everything.value["t"]["k"].as_str()), (7, "v"));
}

#[tokio::test]
async fn a_fetch_raises_on_an_error_answer() {
    let fixture = ConfigFixture::new();
    let fake = Fake::start(&fixture.backend, 7, &[("t", "k", "v")]).await;
    let client = fixture.client().await;
    fake.instead(Instead::Fail);
    let error = client.everything().await.unwrap_err();
    assert_eq!(error.to_string(), "the config service answered config-error: by script");
    fake.instead(Instead::Nonsense);
    assert!(matches!(client.everything().await, Err(ConfigError::UnreadableAnswer { .. })));
    client.everything().await.unwrap();
}

#[tokio::test]
async fn a_fetch_releases_its_client_even_on_failure() {
    let fixture = ConfigFixture::new();
    let faulty = Faulty::over(fixture.backend.clone());
    let fake = Fake::start(&fixture.backend, 7, &[("t", "k", "v")]).await;
    let client = ConfigClient::connect_with(faulty.clone(), "tg", Duration::from_millis(50)).await.unwrap();
    for instead in [Instead::Fail, Instead::Silence, Instead::Nonsense, Instead::Silence] {
        fake.instead(instead);
        client.everything().await.unwrap_err();
        // At most the one subscription that all requests share.
        within_deadline(async {
            while faulty.answers_count() > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    drop(client);
    within_deadline(async {
        while faulty.answers_count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn concurrent_requests_receive_their_own_answers() {
    let fixture = ConfigFixture::new();
    let _service = fixture.service().await;
    let client = fixture.client().await;
    let batch = (0..50).fold(Batch::new(), |batch, n| batch.put("t", n.to_string(), n.to_string()));
    client.apply(batch).await.unwrap();
    let other = fixture.client().await;
    let asked = (0..50).map(|n| {
        let client = if n % 2 == 0 { client.clone() } else { other.clone() };
        async move { assert_eq!(client.get_one("t", &n.to_string()).await.unwrap(), Some(n.to_string())) }
    });
    within_deadline(futures_util::future::join_all(asked)).await;
}
