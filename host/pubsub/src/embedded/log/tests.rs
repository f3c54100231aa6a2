//! The log on its own: written data is read back, torn tails are cut off, damage is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::frame::FrameBuffer;
use super::reader::Chunk;
use super::record::{Record, RecordContent};
use super::recovered::RecoveredQueue;
use super::segment::{HEADER_BYTES, Header};
use super::segments::{Log, Opened};
use crate::backend::QueueSpec;
use crate::embedded::definition::QueueDefinition;
use crate::embedded::log_position::Moved;
use crate::embedded::options::{EmbeddedOptions, OpenError, SyncMode};
use crate::embedded::refusal::WriteFailure;
use crate::message::size_of;
use crate::message::{Message, MessageId};
use crate::topic::Queue;

/// The sequences in each queue.
type Content = BTreeMap<u64, BTreeSet<u64>>;

fn options() -> EmbeddedOptions {
    EmbeddedOptions { sync: SyncMode::None, ..EmbeddedOptions::default() }
}

fn queue(number: u64) -> Queue {
    Queue::new(format!("flow:tg:{number}").parse().unwrap(), "s".parse().unwrap()).unwrap()
}

/// A record that owns its content.
#[derive(Clone)]
enum Change {
    Define(u64),
    Delete(u64),
    Put(Vec<(u64, u64)>, Message),
    Remove(u64, u64),
    Deliver(u64, u64),
    Move { targets: Vec<Moved>, size_bytes: u32, block: Bytes },
}

/// Writes these changes as one frame.
fn write(log: &mut Log, changes: &[Change]) -> Result<u64, WriteFailure> {
    let mut frame = log.begin_frame()?;
    for change in changes {
        match change {
            Change::Define(number) => frame.push(Record::Defined(&QueueDefinition::new(*number, &QueueSpec::new(queue(*number))))),
            Change::Delete(queue) => frame.push(Record::Deleted { queue: *queue }),
            Change::Put(targets, message) => frame.push(Record::Put { targets, size_bytes: size_of(message) as u32, message }),
            Change::Remove(queue, sequence) => frame.push(Record::Removed { queue: *queue, sequence: *sequence }),
            Change::Deliver(queue, sequence) => frame.push(Record::Delivered { queue: *queue, first: *sequence, last: *sequence }),
            Change::Move { targets, size_bytes, block } => {
                frame.push(Record::Moved { targets, size_bytes: *size_bytes, content: RecordContent::Block(block) })
            }
        };
    }
    frame.write()
}

fn put(targets: &[(u64, u64)], body: &str) -> Change {
    Change::Put(targets.to_vec(), Message { id: Some(MessageId(7)), ..Message::new(body.to_owned()) }.with("a", "b"))
}

fn content(opened: &Opened) -> Content {
    opened.queues.iter().map(|(number, queue)| (*number, queue.entries.keys().copied().collect())).collect()
}

/// Writes a small log of several frames; returns the length of the file and the content after each.
fn small_log(folder: &Path) -> Vec<(u64, Content)> {
    let mut opened = Log::open(folder, &options()).unwrap();
    let mut stages = vec![(opened.log.active_bytes(), content(&opened))];
    let frames: [Vec<Change>; 4] = [
        vec![Change::Define(1)],
        vec![Change::Define(2), put(&[(1, 1), (2, 1)], "both")],
        vec![Change::Remove(1, 1), put(&[(2, 2)], "moved"), Change::Deliver(2, 1)],
        vec![put(&[(1, 2)], "last")],
    ];
    let contents: [&[(u64, &[u64])]; 4] = [&[(1, &[])], &[(1, &[1]), (2, &[1])], &[(1, &[]), (2, &[1, 2])], &[(1, &[2]), (2, &[1, 2])]];
    for (frame, content) in frames.into_iter().zip(contents) {
        write(&mut opened.log, &frame).unwrap();
        let content = content.iter().map(|(queue, sequences)| (*queue, sequences.iter().copied().collect())).collect();
        stages.push((opened.log.active_bytes(), content));
    }
    stages
}

/// All files of a folder with their bytes, except the lock.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        if name != "LOCK" && name != "reserve" {
            all.insert(name, std::fs::read(file.path()).unwrap());
        }
    }
    all
}

/// A folder with these files.
fn folder_of(files: &BTreeMap<String, Vec<u8>>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

const FIRST: &str = "00000000000000000001.log";
const SECOND: &str = "00000000000000000002.log";

#[test]
fn written_messages_are_read_with_counts_and_bodies() {
    let folder = tempfile::tempdir().unwrap();
    let stages = small_log(folder.path());
    let opened = Log::open(folder.path(), &options()).unwrap();
    assert_eq!(content(&opened), stages.last().unwrap().1);
    assert_eq!(opened.report.torn_tail, None);
    let entry = &opened.queues[&2].entries[&1];
    assert_eq!(entry.deliveries, 1);
    let message = opened.log.reader().message(entry.position, &mut Chunk::default()).unwrap();
    assert_eq!((message.body.as_ref(), message.id, message.properties.get("a")), (b"both".as_ref(), Some(MessageId(7)), Some("b")));
    let second = opened.log.reader().message(opened.queues[&2].entries[&2].position, &mut Chunk::default()).unwrap();
    assert_eq!(second.body.as_ref(), b"moved");
}

#[test]
fn a_log_truncated_at_any_byte_opens_with_its_complete_frames() {
    let folder = tempfile::tempdir().unwrap();
    let stages = small_log(folder.path());
    let whole = files(folder.path());
    for length in 0..=whole[FIRST].len() {
        let cut = folder_of(&BTreeMap::from([(FIRST.to_owned(), whole[FIRST][..length].to_vec())]));
        let opened = Log::open(cut.path(), &options()).unwrap_or_else(|error| panic!("cut at {length}: {error}"));
        let stage = stages.iter().rev().find(|(end, _)| *end <= length as u64);
        let (end, expected) = stage.cloned().unwrap_or_default();
        assert_eq!(content(&opened), expected, "cut at {length}");
        let torn = opened.report.torn_tail.clone();
        assert_eq!(torn.as_ref().map_or(0, |torn| torn.bytes), length as u64 - end, "cut at {length}");
        if let Some(torn) = torn {
            assert_eq!(std::fs::read(torn.kept_in).unwrap(), whole[FIRST][end as usize..length], "cut at {length}");
        }
        assert_log_continues(cut.path(), opened, expected);
    }
}

/// Whatever was found, the log accepts another frame, which the next opening finds.
fn assert_log_continues(folder: &Path, mut opened: Opened, mut content_before: Content) {
    write(&mut opened.log, &[Change::Define(9), put(&[(9, 1)], "new")]).unwrap();
    drop(opened);
    content_before.insert(9, BTreeSet::from([1]));
    let opened = Log::open(folder, &options()).unwrap();
    assert_eq!(content(&opened), content_before);
    assert_eq!(opened.report.torn_tail, None);
}

#[test]
fn a_bit_flip_in_the_last_frame_is_a_torn_tail_and_earlier_ones_are_reported_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stages = small_log(folder.path());
    let whole = files(folder.path());
    let (last_start, before_last) = stages[stages.len() - 2].clone();
    let mut told_count = 0;
    for at in 0..whole[FIRST].len() {
        let mut flipped = whole.clone();
        flipped.get_mut(FIRST).unwrap()[at] ^= 0x10;
        let folder = folder_of(&flipped);
        match Log::open(folder.path(), &options()) {
            Ok(opened) if at as u64 >= last_start => {
                assert_eq!(content(&opened), before_last, "flip at {at}");
                assert!(opened.report.torn_tail.is_some());
            }
            Ok(opened) => {
                // In a message, and nowhere else.
                assert_eq!(content(&opened), stages.last().unwrap().1, "flip at {at}");
                assert_eq!((opened.report.damaged_count, opened.report.torn_tail), (1, None), "a flip at {at} was not seen");
                told_count += 1;
            }
            Err(OpenError::Damaged { segment, .. }) => {
                assert!((at as u64) < last_start, "a flip at {at} was refused");
                assert!(segment.ends_with(FIRST));
                assert_eq!(files(folder.path()), flipped);
            }
            Err(OpenError::NewerFormat { .. }) => assert!((8..12).contains(&at)),
            Err(error) => panic!("flip at {at}: {error}"),
        }
    }
    assert!(told_count > 40, "{told_count}");
}

#[test]
fn bytes_marked_as_durable_are_never_truncated() {
    let folder = tempfile::tempdir().unwrap();
    let stages = small_log(folder.path());
    let mut opened = Log::open(folder.path(), &options()).unwrap();
    opened.log.mark(4);
    drop(opened);
    let whole = files(folder.path());
    let (last_start, all) = (stages[stages.len() - 2].0, &stages.last().unwrap().1);
    let mut told_count = 0;
    for at in last_start as usize..whole[FIRST].len() {
        let mut flipped = whole.clone();
        flipped.get_mut(FIRST).unwrap()[at] ^= 0x10;
        let folder = folder_of(&flipped);
        match Log::open(folder.path(), &options()) {
            Ok(opened) => {
                assert_eq!((&content(&opened), opened.report.damaged_count), (all, 1), "flip at {at}");
                told_count += 1;
            }
            Err(OpenError::Damaged { offset, .. }) => assert_eq!(offset, last_start, "flip at {at}"),
            Err(error) => panic!("flip at {at}: {error}"),
        }
        assert_eq!(files(folder.path()), flipped, "nothing is changed");
    }
    assert!(told_count > 10, "{told_count}");
    for length in 0..whole[FIRST].len() {
        let mut cut = whole.clone();
        cut.get_mut(FIRST).unwrap().truncate(length);
        let folder = folder_of(&cut);
        let error = Log::open(folder.path(), &options()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "cut at {length}: {error}");
        assert_eq!(files(folder.path()), cut, "nothing is changed");
    }
    // Data after the mark may still be torn.
    let folder = folder_of(&whole);
    let mut opened = Log::open(folder.path(), &options()).unwrap();
    write(&mut opened.log, &[put(&[(1, 3)], "behind")]).unwrap();
    drop(opened);
    let bytes = std::fs::read(folder.path().join(FIRST)).unwrap();
    std::fs::write(folder.path().join(FIRST), &bytes[..bytes.len() - 1]).unwrap();
    let opened = Log::open(folder.path(), &options()).unwrap();
    assert_eq!(&content(&opened), all);
    assert!(opened.report.torn_tail.is_some());
}

#[test]
fn missing_newest_segments_are_detected() {
    let (mut all, _) = two_segments();
    let folder = folder_of(&all);
    let mut opened = Log::open(folder.path(), &options()).unwrap();
    opened.log.mark(4);
    drop(opened);
    all = files(folder.path());
    for gone in [&[SECOND][..], &[FIRST, SECOND]] {
        let left: BTreeMap<_, _> = all.clone().into_iter().filter(|(name, _)| !gone.contains(&name.as_str())).collect();
        let folder = folder_of(&left);
        let error = Log::open(folder.path(), &options()).unwrap_err();
        assert!(matches!(&error, OpenError::Damaged { segment, .. } if segment.ends_with(SECOND)), "{error}");
        assert!(error.to_string().contains("held 4 messages"), "{error}");
        assert_eq!(files(folder.path()), left, "nothing is changed");
    }
}

#[test]
fn missing_oldest_segments_are_reported_message_by_message() {
    let folder = tempfile::tempdir().unwrap();
    small_log(folder.path());
    let mut opened = Log::open(folder.path(), &options()).unwrap();
    let live = |queue: &RecoveredQueue| QueueDefinition { live_count: queue.entries.len() as u64, ..queue.definition.clone() };
    let definitions: Vec<_> = opened.queues.values().map(live).collect();
    opened.log.rotate(&definitions).unwrap();
    let missing = || {
        let mut left = files(folder.path());
        left.remove(FIRST);
        let report = Log::open(folder_of(&left).path(), &options()).unwrap().report;
        (report.messages_count, report.missing_count)
    };
    assert_eq!(missing(), (0, 3));
    write(&mut opened.log, &[Change::Remove(2, 1), put(&[(1, 3)], "later")]).unwrap();
    assert_eq!(missing(), (1, 2));
    // Later messages do not concern the first segment.
    write(&mut opened.log, &[Change::Remove(1, 3), Change::Remove(1, 2)]).unwrap();
    assert_eq!(missing(), (0, 1));
    write(&mut opened.log, &[Change::Delete(2)]).unwrap();
    assert_eq!(missing(), (0, 0), "then it may be unlinked");
}

/// The files and content of a log with two segments.
fn two_segments() -> (BTreeMap<String, Vec<u8>>, Content) {
    let folder = tempfile::tempdir().unwrap();
    let stages = small_log(folder.path());
    let mut opened = Log::open(folder.path(), &options()).unwrap();
    let definitions: Vec<_> = opened.queues.values().map(|queue| queue.definition.clone()).collect();
    opened.log.rotate(&definitions).unwrap();
    (files(folder.path()), stages.last().unwrap().1.clone())
}

#[test]
fn a_crash_while_creating_a_segment_loses_nothing() {
    let (whole, expected) = two_segments();
    for length in 0..=whole[SECOND].len() {
        let mut cut = whole.clone();
        cut.get_mut(SECOND).unwrap().truncate(length);
        let folder = folder_of(&cut);
        let opened = Log::open(folder.path(), &options()).unwrap_or_else(|error| panic!("cut at {length}: {error}"));
        assert_eq!(content(&opened), expected);
        assert_eq!(opened.log.active_number(), if length == whole[SECOND].len() { 2 } else { 1 });
        assert_log_continues(folder.path(), opened, expected.clone());
    }
}

#[test]
fn a_missing_truncated_or_misplaced_newest_segment_is_damage() {
    let (whole, _) = two_segments();
    let check = |change: fn(&mut BTreeMap<String, Vec<u8>>)| {
        let mut changed = whole.clone();
        change(&mut changed);
        let folder = folder_of(&changed);
        let error = Log::open(folder.path(), &options()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&format!("move the folder {} away", folder.path().display())), "{error}");
        assert_eq!(files(folder.path()), changed);
    };
    check(|files| {
        let second = files.remove(SECOND).unwrap();
        files.insert("00000000000000000003.log".to_owned(), second);
    });
    check(|files| {
        let first = files[FIRST].clone();
        files.insert(SECOND.to_owned(), first);
    });
    check(|files| {
        files.remove(FIRST);
        files.get_mut(SECOND).unwrap().truncate(60);
    });
    // Nothing may be written after an unreadable part.
    check(|files| {
        files.get_mut(FIRST).unwrap().pop();
        files.get_mut(SECOND).unwrap().truncate(60);
    });
}

#[test]
fn a_segment_without_live_messages_can_be_removed() {
    let (mut files, _) = two_segments();
    files.remove(FIRST);
    let folder = folder_of(&files);
    let opened = Log::open(folder.path(), &options()).unwrap();
    assert_eq!(content(&opened), BTreeMap::from([(1, BTreeSet::new()), (2, BTreeSet::new())]));
    assert_eq!(opened.queues[&1].definition.next_sequence, 3, "sequences are never used again");
}

#[test]
fn a_newer_format_is_refused() {
    let (mut files, _) = two_segments();
    files.get_mut(FIRST).unwrap()[8] = 3;
    let folder = folder_of(&files);
    let error = Log::open(folder.path(), &options()).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { found: 3, known: 2, .. }), "{error}");
}

#[test]
fn a_failed_write_is_truncated_and_the_next_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let stages = small_log(folder.path());
    let mut opened = Log::open(folder.path(), &options()).unwrap();
    opened.log.failing_writes_are_counted().store(1, Ordering::Relaxed);
    assert!(write(&mut opened.log, &[put(&[(1, 3)], "never")]).is_err());
    assert_eq!(std::fs::metadata(folder.path().join(FIRST)).unwrap().len(), stages.last().unwrap().0);
    write(&mut opened.log, &[put(&[(1, 4)], "later")]).unwrap();
    drop(opened);
    assert_eq!(content(&Log::open(folder.path(), &options()).unwrap())[&1], BTreeSet::from([2, 4]));
}

#[test]
fn frame_like_bytes_inside_a_message_are_not_a_frame() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = Log::open(folder.path(), &options()).unwrap();
    // A frame of another log, which has a different salt.
    let mut foreign = FrameBuffer::default();
    foreign.begin();
    let fake = String::from_utf8_lossy(foreign.finish(3, 0)).into_owned();
    write(&mut opened.log, &[Change::Define(1), put(&[(1, 1)], &fake.repeat(3))]).unwrap();
    drop(opened);
    let path = folder.path().join(FIRST);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(Log::open(folder.path(), &options()).unwrap().report.torn_tail.is_some());
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let opened = Log::open(folder.path(), &options()).unwrap();
    let error = Log::open(folder.path(), &options()).unwrap_err();
    assert!(matches!(&error, OpenError::InUse { folder: named } if named == folder.path()), "{error}");
    drop(opened);
    Log::open(folder.path(), &options()).unwrap();
}

/// A log in which the two messages of queue 2 were copied into a second segment, and one of them was delivered meanwhile.
fn copied_log(folder: &Path) {
    small_log(folder);
    let mut opened = Log::open(folder, &options()).unwrap();
    let definitions: Vec<_> = opened.queues.values().map(|queue| queue.definition.clone()).collect();
    opened.log.rotate(&definitions).unwrap();
    let reader = opened.log.reader();
    let mut steps: Vec<Change> = Vec::new();
    for (sequence, deliveries) in [(1, 5), (2, 0)] {
        let entry = &opened.queues[&2].entries[&sequence];
        let block = reader.block(entry.position, &mut Chunk::default()).unwrap();
        let targets = vec![Moved { queue: 2, sequence, deliveries }];
        steps.push(Change::Move { targets, size_bytes: entry.size_bytes, block });
    }
    steps.push(Change::Deliver(2, 2));
    write(&mut opened.log, &steps).unwrap();
    write(&mut opened.log, &[Change::Remove(1, 2), put(&[(2, 3)], "new")]).unwrap();
}

#[test]
fn copied_messages_exist_once_with_or_without_their_first_segment() {
    let folder = tempfile::tempdir().unwrap();
    copied_log(folder.path());
    for _ in 0..2 {
        let opened = Log::open(folder.path(), &options()).unwrap();
        assert_eq!(content(&opened), BTreeMap::from([(1, BTreeSet::new()), (2, BTreeSet::from([1, 2, 3]))]));
        let entries = &opened.queues[&2].entries;
        let deliveries: Vec<u32> = entries.values().map(|entry| entry.deliveries).collect();
        assert_eq!(deliveries, [5, 1, 0]);
        let read = |sequence: u64| opened.log.reader().message(entries[&sequence].position, &mut Chunk::default()).unwrap().body;
        assert_eq!([read(1), read(2), read(3)].map(|body| body.to_vec()), [b"both".to_vec(), b"moved".to_vec(), b"new".to_vec()]);
        assert_eq!(opened.queues[&2].definition.next_sequence, 4);
        drop(opened);
        // The second time it is already removed: it has no live messages.
        let _ = std::fs::remove_file(folder.path().join(FIRST));
    }
}

#[test]
fn a_copy_truncated_at_any_byte_counts_completely_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    copied_log(folder.path());
    let whole = files(folder.path());
    for length in HEADER_BYTES..whole[SECOND].len() {
        let mut cut = whole.clone();
        cut.get_mut(SECOND).unwrap().truncate(length);
        let opened = Log::open(folder_of(&cut).path(), &options()).unwrap();
        let found: Vec<u64> = opened.queues[&2].entries.keys().copied().collect();
        assert!(found == [1, 2] || found == [1, 2, 3], "cut at {length}: {found:?}");
    }
}

#[test]
fn a_copy_of_an_unknown_message_is_damage() {
    for moved in [Moved { queue: 1, sequence: 9, deliveries: 0 }, Moved { queue: 7, sequence: 1, deliveries: 0 }] {
        let folder = tempfile::tempdir().unwrap();
        small_log(folder.path());
        let mut opened = Log::open(folder.path(), &options()).unwrap();
        let position = opened.queues[&1].entries[&2].position;
        let block = opened.log.reader().block(position, &mut Chunk::default()).unwrap();
        write(&mut opened.log, &[Change::Move { targets: vec![moved], size_bytes: 4, block }]).unwrap();
        drop(opened);
        let error = Log::open(folder.path(), &options()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    }
}

/// Changes a segment to format version 1, as written by an older Weir.
fn downgrade_format(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let header = Header { version: 1, ..Header::decode(&bytes).unwrap() };
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_version_1_log_is_read_and_continued_as_version_2() {
    let folder = tempfile::tempdir().unwrap();
    let stages = small_log(folder.path());
    downgrade_format(&folder.path().join(FIRST));
    let mut opened = Log::open(folder.path(), &options()).unwrap();
    assert_eq!(content(&opened), stages.last().unwrap().1);
    assert!(opened.log.is_active_full(), "nothing of the second format may stand in a segment of the first");
    let definitions: Vec<_> = opened.queues.values().map(|queue| queue.definition.clone()).collect();
    opened.log.rotate(&definitions).unwrap();
    assert!(!opened.log.is_active_full());
    write(&mut opened.log, &[put(&[(2, 3)], "new")]).unwrap();
    drop(opened);
    let bytes = std::fs::read(folder.path().join(SECOND)).unwrap();
    assert_eq!(Header::decode(&bytes).unwrap().version, 2);
    assert_eq!(content(&Log::open(folder.path(), &options()).unwrap())[&2], BTreeSet::from([1, 2, 3]));
}
