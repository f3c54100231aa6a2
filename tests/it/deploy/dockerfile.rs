//! `Dockerfile`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::start::{Start, all_accepted};
use super::{USER, folder, read};

/// An instruction with its keyword and arguments, and the stage that it is in.
struct Instruction {
    fixture: usize,
    word: String,
    rest: String,
}

fn instructions() -> Vec<Instruction> {
    let text: String =
        read("Dockerfile").lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    let mut fixture = 0;
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty());
    let read = lines.map(|line| {
        let (word, rest) = line.split_once(' ').unwrap_or_else(|| panic!("`{line}` is not an instruction"));
        fixture += usize::from(word == "FROM");
        Instruction { fixture, word: word.to_owned(), rest: rest.trim().to_owned() }
    });
    read.collect()
}

fn all<'i>(instructions: &'i [Instruction], word: &str) -> Vec<&'i Instruction> {
    instructions.iter().filter(|found| found.word == word).collect()
}

fn root() -> PathBuf {
    folder().parent().unwrap().to_owned()
}

#[test]
fn base_images_are_pinned_and_match() {
    let instructions = instructions();
    let froms = all(&instructions, "FROM");
    let images: Vec<&str> = froms.iter().map(|from| from.rest.split_whitespace().next().unwrap()).collect();
    let toolchain = std::fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let [build, run] = images[..] else { panic!("it has {} stages", images.len()) };
    // Bookworm is Debian 12: a binary of a newer C library would not run on an older one.
    assert_eq!(build, format!("rust:{channel}-bookworm"));
    assert!(run.starts_with("debian:12.") && run.ends_with("-slim"), "{run}");
    assert!(all(&instructions, "ENV").iter().any(|env| env.rest == format!("RUSTUP_TOOLCHAIN={channel}")));
}

#[test]
fn copied_files_exist() {
    let instructions = instructions();
    let names: BTreeMap<String, usize> =
        all(&instructions, "FROM").iter().filter_map(|from| Some((from.rest.split_once(" AS ")?.1.to_owned(), from.fixture))).collect();
    for copy in all(&instructions, "COPY") {
        let (flags, paths): (Vec<&str>, Vec<&str>) = copy.rest.split_whitespace().partition(|word| word.starts_with("--"));
        let from = flags.iter().find_map(|flag| flag.strip_prefix("--from="));
        match from {
            Some(fixture) => {
                assert!(names.get(fixture).is_some_and(|fixture| *fixture < copy.fixture), "no stage {fixture} before: COPY {}", copy.rest)
            }
            None => {
                let (_, sources) = paths.split_last().unwrap();
                assert!(sources.iter().all(|source| root().join(source).exists()), "COPY {}", copy.rest);
            }
        }
    }
    // The files that the build produces are copied and started.
    let build = all(&instructions, "RUN")
        .iter()
        .any(|run| run.rest.contains("cargo build --release --locked --bin weir && cp target/release/weir /weir"));
    let copied = all(&instructions, "COPY").iter().any(|copy| copy.rest == "--from=build /weir /usr/local/bin/weir");
    assert!(build && copied && all(&instructions, "ENTRYPOINT")[0].rest == r#"["/usr/local/bin/weir"]"#);
}

#[test]
fn the_build_sees_the_whole_workspace_and_no_secret() {
    let ignored = read("Dockerfile.dockerignore");
    let ignored: Vec<&str> = ignored.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(ignored.contains(&"deploy/secrets") && ignored.contains(&"target") && ignored.contains(&".git"));
    for needed in ["Cargo.toml", "Cargo.lock", "host", "sdk", "wit", "tests", "bench", "plugins"] {
        assert!(!ignored.contains(&needed) && root().join(needed).exists(), "{needed} is a part of the workspace");
    }
}

#[test]
fn the_image_runs_weir_as_its_own_user() {
    let instructions = instructions();
    assert_eq!(all(&instructions, "USER").last().unwrap().rest, USER);
    let group_and_user = all(&instructions, "RUN").iter().any(|run| run.rest.contains("--uid 10001 --gid 10001"));
    assert!(group_and_user && read("secrets.sh").contains(&format!("chown {USER} ")), "the user {USER}");
    let last = instructions.last().unwrap().fixture;
    let environment: BTreeMap<String, String> = all(&instructions, "ENV")
        .iter()
        .filter(|env| env.fixture == last)
        .map(|env| env.rest.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(environment["WEIR_DATA"], all(&instructions, "VOLUME")[0].rest);
    let arguments: Vec<String> = serde_json::from_str(&all(&instructions, "CMD")[0].rest).unwrap();
    all_accepted(&[Start { name: "Dockerfile".to_owned(), arguments, environment }]);
}
