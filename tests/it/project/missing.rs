//! Missing toolchains: the error names what is missing, and how to get it.

use std::path::Path;

use super::project_fixture::ProjectFixture;

#[test]
fn a_missing_toolchain_is_named_with_where_to_get_it() {
    let workspace = ProjectFixture::new();
    workspace.write("no-tools/README", "");
    let empty = workspace.path("no-tools");
    let check = |language: &str, words: &[&str]| {
        let name = format!("without-{language}");
        workspace.must(&["new", "--lang", language, &name]);
        workspace.weir_in(&["build", &name], &[("PATH", &empty)]).fails(1, words);
    };
    check("rust", &["cargo is missing: needed to build components in Rust", "https://rustup.rs", "rustup target add wasm32-wasip2"]);
    check("python", &["python3 is missing: needed to build components in Python", "https://www.python.org"]);
    check("js", &["node is missing: needed to build components in JavaScript and TypeScript", "https://nodejs.org"]);
    check("ts", &["node is missing"]);
}

#[test]
fn a_missing_target_of_rust_is_named_with_the_command_that_adds_it() {
    let workspace = ProjectFixture::new();
    workspace.must(&["new", "--lang", "rust", "without-target"]);
    // A cargo that would build, and a rustc whose sysroot lacks the target.
    workspace.write("tools/cargo", "#!/bin/sh\nexit 9\n");
    workspace.write("tools/rustc", format!("#!/bin/sh\necho {}\n", workspace.path("tools").display()));
    for tool in ["cargo", "rustc"] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(workspace.path("tools").join(tool), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/bin:/usr/bin", workspace.path("tools").display());
    let ended = workspace.weir_in(&["build", "without-target"], &[("PATH", Path::new(&path))]);
    ended.fails(1, &["the Rust target wasm32-wasip2 is missing", "run `rustup target add wasm32-wasip2`"]);
}
