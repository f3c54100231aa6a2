//! The store alone.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use weir_config::protocol::{Key, Value};
use weir_config::{Applied, Batch, ConfigError, Store};

const NO_LIMIT: usize = usize::MAX;

async fn open_at(folder: &Path, now_seconds: u64) -> Store {
    Store::open_at(&folder.join("config.sqlite"), now_seconds).await.unwrap()
}

async fn step(store: &Store, batch: Batch) -> u64 {
    match store.apply(&batch).await.unwrap() {
        Applied::Step { version, .. } => version,
        Applied::Nothing => panic!("the batch changed nothing"),
    }
}

fn key(config_type: &str, key: &str) -> Key {
    Key { config_type: config_type.into(), key: key.into() }
}

#[tokio::test]
async fn versions_increase_across_restarts_even_if_the_clock_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for (now_seconds, at_start) in [(1000, 1000), (1000, 1004), (5000, 5000), (0, 5004), (6, 5008)] {
        let store = open_at(folder.path(), now_seconds).await;
        let version = store.version().await.unwrap();
        assert!(version > last);
        assert_eq!(version, at_start, "at {now_seconds}");
        for _ in 0..3 {
            last = step(&store, Batch::new().put("t", "k", "v")).await;
        }
        assert_eq!(last, version + 3);
        store.close().await;
    }
}

#[tokio::test]
async fn a_new_store_begins_with_the_seconds_since_1970() {
    let folder = tempfile::tempdir().unwrap();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let store = Store::open(&folder.path().join("config.sqlite")).await.unwrap();
    assert!(store.version().await.unwrap() >= before);
}

#[tokio::test]
async fn a_batch_is_one_step_with_all_that_changed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path(), 10).await;
    let batch = Batch::new().put("a", "1", "x").put("b", "1", "y").put("b", "1", "z").delete("c", "none");
    let Applied::Step { version, changed } = store.apply(&batch).await.unwrap() else { panic!("nothing changed") };
    assert_eq!(version, 11);
    assert_eq!(changed.into_keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    let everything = store.everything(NO_LIMIT).await.unwrap();
    assert_eq!(everything.version, 11);
    assert_eq!(everything.value["b"]["1"], "z", "of a key that is written twice the last value counts");
    assert_eq!(everything.value.len(), 2);
}

#[tokio::test]
async fn an_empty_batch_changes_nothing_but_its_conditions_count() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path(), 10).await;
    assert_eq!(store.apply(&Batch::new()).await.unwrap(), Applied::Nothing);
    assert_eq!(store.apply(&Batch::new().on_condition("t", "k", None)).await.unwrap(), Applied::Nothing);
    let conflict = store.apply(&Batch::new().on_condition("t", "k", Some("v".into()))).await;
    assert!(matches!(conflict, Err(ConfigError::Conflict { .. })));
    assert_eq!(store.version().await.unwrap(), 10);
}

#[tokio::test]
async fn a_failed_condition_changes_nothing_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path(), 10).await;
    step(&store, Batch::new().put("t", "k", "v")).await;
    for (wanted, words) in [(None, "`k` of type `t` exists"), (Some("w"), "`k` of type `t` has another value")] {
        let batch = Batch::new().put("t", "other", "x").delete("t", "k").on_condition("t", "k", wanted.map(ToOwned::to_owned));
        let Err(ConfigError::Conflict { message }) = store.apply(&batch).await else { panic!("no conflict") };
        assert_eq!(message, words);
    }
    let batch = Batch::new().put("t", "other", "x").on_condition("t", "none", Some("v".into()));
    assert!(store.apply(&batch).await.unwrap_err().to_string().contains("`none` of type `t` does not exist"));
    assert_eq!(store.values("t", NO_LIMIT).await.unwrap().value.len(), 1);
    assert_eq!(store.version().await.unwrap(), 11);
    step(&store, Batch::new().put("t", "k", "w").on_condition("t", "k", Some("v".into())).on_condition("t", "none", None)).await;
}

#[tokio::test]
async fn acknowledged_changes_survive_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path(), 10).await;
    for n in 0..20 {
        step(&store, Batch::new().put("t", n.to_string(), "v").delete("t", (n - 1).to_string())).await;
    }
    // A crash leaves the files as they are, without the work done on closing.
    let crashed = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
    }
    let store = open_at(crashed.path(), 10).await;
    let values = store.values("t", NO_LIMIT).await.unwrap();
    assert_eq!((values.version, values.value.len()), (31, 1));
    assert_eq!(values.value["19"], "v");
}

#[tokio::test]
async fn unusual_strings_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path(), 10).await;
    let texts = ["", "a\0b", "é ≠ e\u{301}", "'; DROP TABLE config_value; --", "%", "\u{10ffff}"];
    for text in texts {
        step(&store, Batch::new().put(text, text, text)).await;
    }
    for text in texts {
        let got = store.get(&[key(text, text)], NO_LIMIT).await.unwrap();
        assert_eq!(got.value, [Value { config_type: text.into(), key: text.into(), value: Some(text.into()) }]);
    }
    assert_eq!(store.everything(NO_LIMIT).await.unwrap().value.len(), texts.len());
}

#[tokio::test]
async fn answers_above_the_limit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path(), 10).await;
    step(&store, Batch::new().put("t", "k", "x".repeat(1000))).await;
    let refused = |result: ConfigError| matches!(result, ConfigError::AnswerTooLarge { limit_bytes: 900 });
    assert!(refused(store.everything(900).await.unwrap_err()));
    assert!(refused(store.values("t", 900).await.unwrap_err()));
    assert!(refused(store.get(&[key("t", "k")], 900).await.unwrap_err()));
    let thrice = [key("t", "k"), key("t", "k"), key("t", "k")];
    assert!(matches!(store.get(&thrice, 2000).await, Err(ConfigError::AnswerTooLarge { .. })));
    assert_eq!(store.list("t", 900).await.unwrap().value, ["k"]);
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.sqlite");
    std::fs::write(&path, "no store, but a text of some length, so that it is no empty file either").unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error, ConfigError::StoreNotOpened { .. }));
    assert!(error.to_string().contains("config.sqlite"), "{error}");
}

#[tokio::test]
async fn any_number_of_keys_is_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(folder.path(), 10).await;
    let batch = (0..2_500).fold(Batch::new(), |batch, at| batch.put(format!("t{}", at % 7), at.to_string(), format!("value {at}")));
    step(&store, batch).await;
    // Every key backwards, the first one twice, and one that does not exist.
    let mut keys: Vec<Key> = (0..2_500).rev().map(|at| key(&format!("t{}", at % 7), &at.to_string())).collect();
    keys.extend([key("t0", "0"), key("t0", "1")]);
    let read = store.get(&keys, NO_LIMIT).await.unwrap().value;
    let values: Vec<_> = read.iter().map(|value| value.value.clone()).collect();
    let mut expected: Vec<_> = (0..2_500).rev().map(|at| Some(format!("value {at}"))).collect();
    expected.extend([Some("value 0".to_owned()), None]);
    assert_eq!(values, expected);
    let named: Vec<Key> = read.into_iter().map(|Value { config_type, key, .. }| Key { config_type, key }).collect();
    assert_eq!(named, keys);
    let sizes = |keys: &[Key]| keys.iter().map(|key| key.config_type.len() + key.key.len()).sum::<usize>();
    let whole = sizes(&keys) + expected.iter().flatten().map(String::len).sum::<usize>();
    assert!(store.get(&keys, whole).await.is_ok());
    assert!(matches!(store.get(&keys, whole - 1).await, Err(ConfigError::AnswerTooLarge { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn new_stores_open_on_a_busy_machine() {
    let folder = tempfile::tempdir().unwrap();
    let paths = (0..200).map(|number| folder.path().join(format!("{number}.sqlite")));
    let opened = futures_util::future::join_all(paths.map(|path| tokio::spawn(async move { Store::open(&path).await }))).await;
    for store in opened {
        assert!(store.unwrap().unwrap().version().await.unwrap() > 0);
    }
}
