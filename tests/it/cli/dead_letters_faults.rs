//! Commands on dead letters whose connection is lost: their output, and that it is safe to repeat them.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use weir_tests::guest_path;
use weir_tests::wait::{DEADLINE, eventually};
use weir_tests::weir::{Weir, run};

use super::{blueprint, said};

/// A proxy to a Weir that forwards connections until one of them requests a path: the answer is awaited, its first bytes may be forwarded,
/// Weir is killed, and the connection is lost.
struct Killer {
    url: String,
    task: JoinHandle<()>,
}

impl Killer {
    async fn of(weir: Weir, path: &str, passed_bytes: usize) -> Killer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let path = format!(" {path}");
        let task = tokio::spawn(async move {
            let to = weir.url().strip_prefix("http://").unwrap().to_owned();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&to).await.unwrap();
                if pass_on(client, server, &path, passed_bytes, || weir.kill_now()).await {
                    return;
                }
            }
        });
        Killer { url, task }
    }
}

/// Forwards one connection; returns whether its answer was cut off.
async fn pass_on(mut client: TcpStream, mut server: TcpStream, path: &str, passed_bytes: usize, kill: impl Fn()) -> bool {
    let (mut from_client, mut from_server) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut is_asked = false;
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(count) if count > 0 => {
                    is_asked |= String::from_utf8_lossy(&from_client[..count]).lines().next().is_some_and(|line| line.contains(path));
                    server.write_all(&from_client[..count]).await.unwrap();
                }
                _ => return false,
            },
            read = server.read(&mut from_server) => match read {
                Ok(count) if count > 0 && is_asked => {
                    client.write_all(&from_server[..passed_bytes.min(count)]).await.unwrap();
                    kill();
                    return true;
                }
                Ok(count) if count > 0 => client.write_all(&from_server[..count]).await.unwrap(),
                _ => return false,
            },
        }
    }
}

/// A flow whose processor rejected three messages and now runs a component that handles them.
async fn with_letters(folder: &Path) -> Weir {
    let weir = Weir::up(folder).await;
    weir.must(&["deploy", "p@1.0.0", guest_path("reject").to_str().unwrap()]).await;
    weir.must(&["deploy", "p@2.0.0", guest_path("echo").to_str().unwrap()]).await;
    let file = folder.join("blueprint.json");
    let mut text = blueprint("p", &json!({}));
    text["flow"]["p:{id}"]["component"] = json!("p@1.0.0");
    fs::write(&file, text.to_string()).unwrap();
    weir.must(&["blueprint", "put", "b", file.to_str().unwrap()]).await;
    weir.must(&["flow", "start", "b", "one"]).await;
    weir.must(&["swap", "one", "p", "p@1.0.0", "--wait"]).await;
    let messages = folder.join("messages.ndjson");
    fs::write(&messages, (0..3).map(|at| format!("{}\n", json!({"reject": "no", "text": at.to_string()}))).collect::<String>()).unwrap();
    weir.must(&["send", "one", "in", messages.to_str().unwrap(), "--each-line"]).await;
    eventually(DEADLINE, "three dead letters", || async {
        let listed = weir.must(&["dead-letters", "list", "--json"]).await;
        (serde_json::from_str::<serde_json::Value>(&listed).unwrap().as_array().unwrap().len() == 3).then_some(())
    })
    .await;
    weir.must(&["swap", "one", "p", "p@2.0.0", "--wait"]).await;
    weir
}

/// Runs a command whose answer is cut off because Weir is killed.
async fn cut_off(weir: Weir, path: &str, passed_bytes: usize, command: &[&str]) -> Output {
    let folder = weir.data().to_owned();
    let killer = Killer::of(weir, path, passed_bytes).await;
    let output = run(&folder, &[&["--gateway", &killer.url], command].concat()).await;
    killer.task.await.unwrap();
    output
}

#[tokio::test]
async fn an_interrupted_redrive_is_reported_and_can_be_repeated() {
    for flags in [&[][..], &["--json"]] {
        let folder = tempfile::tempdir().unwrap();
        let weir = with_letters(folder.path()).await;
        let redrive = [&["dead-letters", "redrive", "--flow", "one"], flags].concat();
        let cut = cut_off(weir, "/api/v1/weir/dead-letters/redrive", 0, &redrive).await;
        let text = said(&cut, folder.path());
        assert_eq!((cut.status.code(), String::from_utf8_lossy(&cut.stdout).as_ref()), (Some(69), ""), "{text}");
        assert!(
            text.contains("the command was interrupted")
                && text.contains("on another broker the letters that were being sent may be sent twice"),
            "{text}"
        );
        let weir = Weir::up(folder.path()).await;
        let again = weir.must(&["dead-letters", "redrive", "--flow", "one"]).await;
        assert!(again == "no dead letter matches\n" || again.ends_with(" resent\n"), "{again}");
        assert_eq!(weir.must(&["dead-letters", "list"]).await, "no dead letters\n");
        let taken = weir.must(&["take", "one", "out", "--count", "3"]).await;
        let mut texts: Vec<_> = taken
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned())
            .collect();
        texts.sort();
        assert_eq!(texts, ["0", "1", "2"]);
        assert_eq!(weir.must(&["take", "one", "out"]).await, "", "none came twice");
    }
}

#[tokio::test]
async fn an_interrupted_delete_is_reported_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_letters(folder.path()).await;
    let cut = cut_off(weir, "/api/v1/weir/dead-letters/delete", 40, &["dead-letters", "delete", "1", "2"]).await;
    let text = said(&cut, folder.path());
    assert_eq!((cut.status.code(), String::from_utf8_lossy(&cut.stdout).as_ref()), (Some(69), ""), "{text}");
    assert!(
        text.contains("the command was interrupted") && text.contains("this is safe") && text.contains("reported as not found"),
        "{text}"
    );
    let weir = Weir::up(folder.path()).await;
    weir.run(&["dead-letters", "delete", "1", "2"]).await;
    let left = weir.must(&["dead-letters", "list", "--json"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&left).unwrap().as_array().unwrap().len(), 1, "{left}");
    // A refusal is not reported as an empty selection.
    let refused = weir.run(&["dead-letters", "delete", "abc"]).await;
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(65), &b""[..]), "{}", said(&refused, folder.path()));
}

#[tokio::test]
async fn an_interrupted_list_prints_nothing_and_reports_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut weir = with_letters(folder.path()).await;
    for (passed_bytes, path, command) in [
        (0, "/api/v1/weir/dead-letters?", &["dead-letters", "list"][..]),
        (200, "/api/v1/weir/dead-letters?", &["dead-letters", "list", "--json"]),
        (0, "/api/v1/weir/dead-letters?", &["dead-letters", "show", "--all"]),
        (0, "/api/v1/weir/dead-letters/1 ", &["dead-letters", "show", "1"]),
        (200, "/api/v1/weir/dead-letters/1 ", &["dead-letters", "show", "--flow", "one"]),
    ] {
        let cut = cut_off(weir, path, passed_bytes, command).await;
        let text = said(&cut, folder.path());
        assert_eq!((cut.status.code(), String::from_utf8_lossy(&cut.stdout).as_ref()), (Some(69), ""), "{command:?}: {text}");
        assert!(text.contains("nothing was changed"), "{command:?}: {text}");
        weir = Weir::up(folder.path()).await;
    }
    assert_eq!(weir.must(&["dead-letters", "show", "--all"]).await.lines().filter(|line| line.contains("  from  ")).count(), 3);
}
