//! Components that no host can ever run: `weir inspect` and `weir deploy` refuse them with the reason, and leave nothing behind.

use std::fs;
use std::path::Path;

use serde_json::json;
use wasm_encoder::{
    CodeSection, ComponentSection, ConstExpr, DataSection, FieldType, Function, FunctionSection, MemorySection, MemoryType, Module,
    RefType, StorageType, TableSection, TableType, TagKind, TagSection, TagType, TypeSection, ValType,
};
use weir_tests::guest;
use weir_tests::weir::{Weir, run};

use crate::guests;
use crate::host_fixture::stamped;

fn memories(all: &[(u64, Option<u64>, bool)]) -> Module {
    let mut section = MemorySection::new();
    for (minimum, maximum, shared) in all {
        section.memory(MemoryType { minimum: *minimum, maximum: *maximum, memory64: false, shared: *shared, page_size_log2: None });
    }
    let mut module = Module::new();
    module.section(&section);
    module
}

/// A module with a type and one function of it.
fn with_function(types: &TypeSection, tags: Option<&TagSection>, body: Function) -> Module {
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut code = CodeSection::new();
    code.function(&body);
    let mut module = Module::new();
    module.section(types).section(&functions);
    if let Some(tags) = tags {
        module.section(tags);
    }
    module.section(&code);
    module
}

fn exceptions() -> Module {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut tags = TagSection::new();
    tags.tag(TagType { kind: TagKind::Exception, func_type_idx: 0 });
    let mut body = Function::new([]);
    body.instructions().throw(0).end();
    with_function(&types, Some(&tags), body)
}

fn garbage_collected() -> Module {
    let mut types = TypeSection::new();
    types.ty().struct_([FieldType { element_type: StorageType::Val(ValType::I32), mutable: false }]);
    let mut module = Module::new();
    module.section(&types);
    module
}

fn table(minimum: u64) -> Module {
    let mut tables = TableSection::new();
    tables.table(TableType { element_type: RefType::FUNCREF, minimum, maximum: None, table64: false, shared: false });
    let mut module = Module::new();
    module.section(&tables);
    module
}

fn data_outside_of_its_memory() -> Module {
    let mut module = memories(&[(1, None, false)]);
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(70_000), [1, 2, 3]);
    module.section(&data);
    module
}

fn faulty_code() -> Module {
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    let mut body = Function::new([]);
    body.instructions().i64_const(1).end();
    with_function(&types, None, body)
}

/// A component that contains a core module, instantiated this many times.
fn with_module(component: &[u8], module: &Module, instances_count: u32) -> Vec<u8> {
    let mut bytes = component.to_vec();
    wasm_encoder::ModuleSection(module).append_to_component(&mut bytes);
    let index = core_modules_count(component);
    let mut instances = wasm_encoder::InstanceSection::new();
    for _ in 0..instances_count {
        instances.instantiate(index, std::iter::empty::<(&str, wasm_encoder::ModuleArg)>());
    }
    instances.append_to_component(&mut bytes);
    bytes
}

fn core_modules_count(component: &[u8]) -> u32 {
    let (mut rest, mut count) = (&component[8..], 0);
    while let Some((&id, after)) = rest.split_first() {
        let (mut length, mut shift, mut at) = (0_usize, 0, 0);
        loop {
            length |= usize::from(after[at] & 0x7f) << shift;
            (shift, at) = (shift + 7, at + 1);
            if after[at - 1] & 0x80 == 0 {
                break;
            }
        }
        count += u32::from(id == 1);
        rest = &after[at + length..];
    }
    count
}

/// A component that imports another interface of the same length.
fn renamed(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component.to_vec();
    let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|at| &bytes[*at..*at + from.len()] == from.as_bytes()).collect();
    assert!(!places.is_empty(), "it does not import {from}");
    places.iter().for_each(|at| bytes[*at..*at + to.len()].copy_from_slice(to.as_bytes()));
    bytes
}

/// Every kind, with the error for it.
fn kinds() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let echo = guest(guests::ECHO);
    let with = |module: Module| with_module(&echo, &module, 1);
    let descriptor = |value: serde_json::Value| stamped(&echo, value.to_string().as_bytes());
    vec![
        ("shared memory", with(memories(&[(1, Some(2), true)])), "threads"),
        ("exceptions", with(exceptions()), "exceptions"),
        ("garbage collection", with(garbage_collected()), "gc"),
        ("two memories", with(memories(&[(1, None, false), (1, None, false)])), "defined memories count of 2"),
        ("a large memory", with(memories(&[(65_536, None, false)])), "minimum byte size of 4294967296"),
        (
            "a memory above the limit",
            with(memories(&[(1_025, None, false)])),
            "the limit is 67108864 (raise it: weir deploy --limit memory-bytes=N)",
        ),
        ("a large table", with(table(20_001)), "minimum element size of 20001"),
        ("many instances", with_module(&echo, &Module::new(), 100), "core module instances"),
        ("many memories", with_module(&echo, &memories(&[(1, None, false)]), 10), "linear memories"),
        ("data outside of its memory", with(data_outside_of_its_memory()), "out of bounds memory access"),
        ("faulty code", with(faulty_code()), "type mismatch"),
        ("an interface that nobody has", renamed(&echo, "wasi:cli/environment@", "wasi:cli/envirunment@"), "wasi:cli/envirunment@"),
        (
            "HTTP, as a default build in JavaScript has it",
            renamed(&echo, "wasi:cli/environment@", "wasi:http/outgoing-x@"),
            "disableFeatures: ['http'",
        ),
        (
            "an unknown key",
            descriptor(json!({"schema": 1, "name": "a", "version": "1.0.0", "consumer": ["input"]})),
            "unknown key `consumer`",
        ),
        (
            "an unknown grant",
            descriptor(json!({"schema": 1, "name": "a", "version": "1.0.0", "grants": [{"grant": "teleport"}]})),
            "grant `teleport` does not exist",
        ),
        (
            "a grant that is never given",
            descriptor(json!({"schema": 1, "name": "a", "version": "1.0.0", "grants": [{"grant": "http"}]})),
            "requires the grant `http`",
        ),
    ]
}

fn files_in(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn an_unrunnable_component_is_refused_by_inspect_and_deploy_and_leaves_no_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(&folder.path().join("data")).await;
    let file = folder.path().join("component.wasm");
    for (kind, bytes, words) in kinds() {
        fs::write(&file, &bytes).unwrap();
        for arguments in [vec!["inspect", file.to_str().unwrap()], vec!["deploy", "a@1.0.0", file.to_str().unwrap()]] {
            let output = weir.run(&arguments).await;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(65), "{kind}: {text}");
            assert!(text.contains(words) && !text.contains("panicked"), "{kind}: {text}");
            assert!(!String::from_utf8_lossy(&output.stdout).contains("can run it"), "{kind}");
        }
    }
    assert_eq!(files_in(&weir.data().join("components")), 0);
    assert!(weir.must(&["components"]).await.starts_with("no components"));
    // The limit decides, not the module.
    fs::write(&file, with_module(&guest(guests::ECHO), &memories(&[(1_025, None, false)]), 1)).unwrap();
    weir.must(&["deploy", "a@1.0.0", file.to_str().unwrap(), "--limit", "memory-bytes=134217728"]).await;
}

#[tokio::test]
async fn bytes_for_a_version_already_in_use_are_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(&folder.path().join("data")).await;
    let file = folder.path().join("component.wasm");
    fs::write(&file, guest(guests::ECHO)).unwrap();
    weir.must(&["deploy", "echo@1.0.0", file.to_str().unwrap()]).await;
    fs::write(&file, guest(guests::TRAP)).unwrap();
    let output = weir.run(&["deploy", "echo@1.0.0", file.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(files_in(&weir.data().join("components")), 1);
}

#[tokio::test]
async fn arbitrary_component_bytes_cause_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("component.wasm");
    let whole = guest(guests::ECHO);
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u64>);
    println!("WEIR_SEED={seed}");
    let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
    for _ in 0..12 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            let at = rand::RngExt::random_range(&mut random, 8..bytes.len());
            bytes[at] = rand::RngExt::random(&mut random);
        }
        fs::write(&file, &bytes).unwrap();
        let output = run(folder.path(), &["inspect", file.to_str().unwrap()]).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 65)) && !text.contains("panicked"), "{text}");
    }
}
