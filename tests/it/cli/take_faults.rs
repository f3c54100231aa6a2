//! Faults during `weir take`: what was not written is delivered again, and at most one batch twice.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use weir_tests::wait::{DEADLINE, eventually, pass, within};
use weir_tests::weir::{Weir, binary};

use super::take::{depth, depth_becomes, ended, fill, lines, numbers, piped, signal, with_exit, with_numbers};

/// Runs a shell script in which `$TAKE` takes from the exit; returns its exit code, standard output and standard error.
async fn shell(weir: &Weir, script: &str) -> (Option<i32>, String, String) {
    let take = format!("{} --data {} take one out", binary().display(), weir.data().display());
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", script]).env("TAKE", take).stdin(Stdio::null());
    let output = within("the script", tokio::task::spawn_blocking(move || command.output().unwrap())).await.unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Lines of 1,000 bytes, each with a number.
fn padded(count: u64) -> String {
    (0..count).map(|at| format!("\"{at:06} {}\"\n", "x".repeat(990))).collect()
}

#[tokio::test]
async fn a_pipe_to_head_takes_only_what_head_read() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_numbers(folder.path(), 5000).await;
    for round in 0..3 {
        let taken = shell(&weir, "$TAKE | head -1").await;
        assert_eq!(taken, (Some(0), format!("{round}\n"), String::new()));
        assert_eq!(depth(&weir).await, 5000 - round - 1);
    }
    // A reader that reads nothing loses nothing.
    assert_eq!(shell(&weir, "$TAKE --follow | true").await, (Some(0), String::new(), String::new()));
    assert_eq!(weir.must(&["take", "one", "out"]).await, numbers(3, 5000));
}

#[tokio::test]
async fn a_reader_that_exits_while_idle_ends_take() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_numbers(folder.path(), 1).await;
    for command in [["take", "one", "out", "--follow"].as_slice(), &["take", "one", "out", "--count", "9"], &["tail", "one", "out"]] {
        let mut following = piped(&weir, command);
        drop(following.stdout.take());
        assert_eq!(ended(following).await, (Some(0), String::new()), "{command:?}");
    }
    assert_eq!(weir.must(&["take", "one", "out"]).await, "0\n");
    let mut following = piped(&weir, &["take", "one", "out", "--follow"]);
    fill(&weir, folder.path(), "1\n2\n").await;
    let (reader, text) = lines(BufReader::new(following.stdout.take().unwrap()), 2).await;
    assert_eq!(text, "1\n2\n");
    drop(reader);
    assert_eq!(ended(following).await, (Some(0), String::new()));
    assert_eq!(depth(&weir).await, 0);
}

#[tokio::test]
async fn a_pipe_with_a_stalled_reader_is_abandoned_with_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_exit(folder.path()).await;
    fill(&weir, folder.path(), &padded(500)).await;
    let mut stalled = weir.command(&["take", "one", "out", "--lease", "500ms"]);
    let mut stalled = stalled.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (reader, first) = lines(BufReader::with_capacity(1, stalled.stdout.take().unwrap()), 1).await;
    assert_eq!(first, padded(1));
    let (code, words) = ended(stalled).await;
    assert!(code == Some(1) && words.contains("has ended: it expired") && words.contains("--lease"), "{code:?} {words}");
    drop(reader);
    let left = weir.must(&["take", "one", "out"]).await;
    assert!(padded(500).ends_with(&left), "{}", left.len());
    assert!(left.lines().count() >= 497, "only the reader's own lines are gone: {}", left.lines().count());
}

#[tokio::test]
async fn a_slow_reader_keeps_the_lease() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_exit(folder.path()).await;
    fill(&weir, folder.path(), &padded(120)).await;
    let mut slow = piped(&weir, &["take", "one", "out", "--lease", "3500ms"]);
    let mut reader = BufReader::with_capacity(1, slow.stdout.take().unwrap());
    let mut all = String::new();
    for _ in 0..8 {
        let (back, text) = lines(reader, 15).await;
        reader = back;
        all.push_str(&text);
        // In total it takes longer than the lease.
        pass(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!((all, ended(slow).await), (padded(120), (Some(0), String::new())));
    assert_eq!(depth(&weir).await, 0);
}

#[tokio::test]
async fn two_takers_receive_each_message_once_and_kill_9_duplicates_at_most_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_exit(folder.path()).await;
    fill(&weir, folder.path(), &padded(20_000)).await;
    let out = |name: &str| folder.path().join(name);
    let take = |name: &str| {
        let mut command = weir.command(&["take", "one", "out"]);
        command.stdout(File::create(out(name)).unwrap()).stderr(Stdio::null()).spawn().unwrap()
    };
    let (mut killed, other) = (take("killed"), take("other"));
    let has_some = || async { (fs::metadata(out("killed")).unwrap().len() > 200_000).then_some(()) };
    eventually(DEADLINE, "the first to have written some", has_some).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(ended(other).await.0, Some(0));
    let rest = weir.must(&["take", "one", "out"]).await;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for text in [fs::read_to_string(out("killed")).unwrap(), fs::read_to_string(out("other")).unwrap(), rest] {
        text.split_inclusive('\n').filter(|line| line.ends_with('\n')).for_each(|line| *seen.entry(line.to_owned()).or_default() += 1);
    }
    assert_eq!(seen.len(), 20_000, "none is lost");
    let doubled: u32 = seen.values().map(|count| count - 1).sum();
    assert!(doubled <= 66, "{doubled} came twice: more than 64 KiB");
    assert_eq!(depth(&weir).await, 0);
}

#[tokio::test]
async fn ctrl_c_under_load_loses_and_duplicates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_exit(folder.path()).await;
    fill(&weir, folder.path(), &padded(20_000)).await;
    let file = folder.path().join("out");
    let taking = weir.command(&["take", "one", "out"]).stdout(File::create(&file).unwrap()).stderr(Stdio::piped()).spawn().unwrap();
    let has_some = || async { (fs::metadata(&file).unwrap().len() > 200_000).then_some(()) };
    eventually(DEADLINE, "it to have written some", has_some).await;
    signal(&taking, Signal::INT);
    assert_eq!(ended(taking).await, (Some(130), String::new()));
    let rest = weir.must(&["take", "one", "out"]).await;
    assert!(fs::read_to_string(&file).unwrap() + &rest == padded(20_000));
}

#[tokio::test]
async fn a_lost_gateway_is_reported_and_unacknowledged_messages_remain() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_exit(folder.path()).await;
    fill(&weir, folder.path(), &padded(20_000)).await;
    let file = folder.path().join("out");
    let taking =
        weir.command(&["take", "one", "out", "--follow"]).stdout(File::create(&file).unwrap()).stderr(Stdio::piped()).spawn().unwrap();
    let has_some = || async { (fs::metadata(&file).unwrap().len() > 200_000).then_some(()) };
    eventually(DEADLINE, "it to have written some", has_some).await;
    let data = weir.data().to_owned();
    weir.kill();
    let (code, words) = ended(taking).await;
    assert!(code == Some(69) && words.contains("redelivered"), "{code:?} {words}");
    let weir = Weir::up(&data).await;
    let (before, rest) = (fs::read_to_string(&file).unwrap(), weir.must(&["take", "one", "out"]).await);
    let twice = before.len() + rest.len() - padded(20_000).len();
    assert!(twice <= 66_000, "{twice} bytes came twice");
    assert!(before.clone() + &rest[twice..] == padded(20_000));
    assert!(before.ends_with(&rest[..twice]));
}

#[tokio::test]
async fn take_ends_with_the_reason_when_weir_or_the_flow_stops() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_numbers(folder.path(), 3).await;
    let file = folder.path().join("out");
    let follow = |weir: &Weir| {
        weir.command(&["take", "one", "out", "--follow"]).stdout(File::create(&file).unwrap()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let taking = follow(&weir);
    depth_becomes(&weir, 0).await;
    weir.must(&["flow", "stop", "one"]).await;
    let (code, words) = ended(taking).await;
    assert!(code == Some(1) && words.contains("flow `one` was stopped"), "{code:?} {words}");
    assert!(!words.contains("redelivered") && !words.contains("run it again"), "{words}");
    weir.must(&["flow", "start", "b", "one", "--external", "outside"]).await;
    fill(&weir, folder.path(), &numbers(0, 3)).await;
    let taking = follow(&weir);
    depth_becomes(&weir, 0).await;
    assert!(weir.end().await.success());
    let (code, words) = ended(taking).await;
    assert!(code == Some(69) && words.contains("Weir is shutting down"), "{code:?} {words}");
    assert_eq!(fs::read_to_string(&file).unwrap(), numbers(0, 3));
}

#[tokio::test]
async fn a_refused_stop_ends_no_reader_of_the_flow() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_numbers(folder.path(), 3).await;
    // The pipe is not read yet, so nothing is acknowledged and the flow is not empty.
    let mut taking = piped(&weir, &["take", "one", "out", "--follow"]);
    let mut tailing = piped(&weir, &["tail", "one", "out"]);
    for kind in ["exit", "tap"] {
        let figure = format!("weir_gateway_streams{{kind=\"{kind}\"}} 1");
        let is_open = || async {
            let figures = weir.http().get(weir.path("/metrics")).send().await.unwrap().text().await.unwrap();
            figures.lines().any(|line| line.starts_with(&figure)).then_some(())
        };
        eventually(DEADLINE, &figure, is_open).await;
    }
    let refused = weir.run(&["flow", "stop", "one"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("still holds"), "{refused:?}");
    let (reader, text) = lines(BufReader::new(taking.stdout.take().unwrap()), 3).await;
    assert_eq!(text, numbers(0, 3));
    fill(&weir, folder.path(), "3\n").await;
    let (_taken, text) = lines(reader, 1).await;
    let (_tailed, passed) = lines(BufReader::new(tailing.stdout.take().unwrap()), 1).await;
    assert_eq!((text, passed), ("3\n".to_owned(), "3\n".to_owned()));
    depth_becomes(&weir, 0).await;
    weir.must(&["flow", "stop", "one"]).await;
    for child in [taking, tailing] {
        let (code, words) = ended(child).await;
        assert!(code == Some(1) && words.contains("flow `one` was stopped"), "{code:?} {words}");
    }
}

#[tokio::test]
async fn an_unwritable_device_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_numbers(folder.path(), 100).await;
    let (code, _, words) = shell(&weir, "$TAKE > /dev/full").await;
    assert!(code == Some(1) && words.contains("the output cannot be written") && words.contains("No space left"), "{code:?} {words}");
    assert_eq!(weir.must(&["take", "one", "out"]).await, numbers(0, 100));
}

#[tokio::test]
async fn a_disk_that_fills_under_the_output_loses_and_duplicates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_exit(folder.path()).await;
    // None of these lines ends at a page boundary of the disk.
    fill(&weir, folder.path(), &padded(500)).await;
    let (disk, copy) = (folder.path().join("disk"), folder.path().join("copy"));
    fs::create_dir(&disk).unwrap();
    let (code, words) = on_a_small_disk(&weir, &disk, &copy).await;
    assert!(code == Some(1) && words.contains("the output cannot be written") && words.contains("No space left"), "{code:?} {words}");
    let before = fs::read_to_string(&copy).unwrap();
    assert!(before.len() > 100_000 && before.len() <= 200 << 10, "{}", before.len());
    let rest = weir.must(&["take", "one", "out"]).await;
    assert!(before + &rest == padded(500), "whole lines, and each once");
}

/// Takes into a file on a disk of 200 KiB, mounted only for this, and copies the file.
async fn on_a_small_disk(weir: &Weir, disk: &Path, copy: &Path) -> (Option<i32>, String) {
    let (disk, copy) = (disk.display(), copy.display());
    let inside =
        format!("mount -t tmpfs -o size=200k none {disk} || exit 99; $TAKE > {disk}/out; code=$?; cp {disk}/out {copy}; exit $code");
    let script = format!("exec unshare --map-root-user --mount bash -c '{inside}'");
    let (code, _, words) = shell(weir, &script).await;
    (code, words)
}

#[tokio::test]
async fn a_closed_output_socket_ends_take() {
    let folder = tempfile::tempdir().unwrap();
    let weir = with_numbers(folder.path(), 10).await;
    let (near, far) = UnixStream::pair().unwrap();
    let out: std::os::fd::OwnedFd = far.into();
    let mut command = weir.command(&["take", "one", "out", "--follow"]);
    let taking = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    depth_becomes(&weir, 0).await;
    drop(near);
    assert_eq!(ended(taking).await, (Some(0), String::new()));
}
