//! Help with typing: shell completion, and suggestions for misspelt words.

use std::fs;
use std::process::Command;

use expect_test::expect;
use weir_tests::weir::{Weir, run};

use super::{check, said, start_echo};

#[tokio::test]
async fn bash_completes_commands_by_the_printed_script() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["completion", "bash"]).await;
    assert!(output.status.success(), "{}", said(&output, folder.path()));
    let script = folder.path().join("weir.bash");
    fs::write(&script, &output.stdout).unwrap();
    let complete = |words: &str, position: usize, current: &str| {
        let ask = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={position}; _weir weir '{current}' weir; echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    assert_eq!(complete("weir conf", 1, "conf"), "config");
    assert_eq!(complete("weir config w", 2, "w"), "watch");
    assert_eq!(complete("weir status --wa", 2, "--wa"), "--watch");
}

#[tokio::test]
async fn zsh_and_fish_have_their_own_scripts() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, words) in [("zsh", ["#compdef weir", "dead-letters"]), ("fish", ["complete -c weir", "dead-letters"])] {
        let output = run(folder.path(), &["completion", shell]).await;
        let script = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && words.iter().all(|word| script.contains(word)), "{shell}: {script}");
    }
    assert_eq!(run(folder.path(), &["completion", "tcsh"]).await.status.code(), Some(64));
}

#[tokio::test]
async fn a_misspelled_name_is_answered_with_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    let weir = Weir::up(folder.path()).await;
    start_echo(&weir, "copy", "first").await;
    for (arguments, advice) in [
        (&["flow", "show", "frist"][..], "did you mean the flow `first`?"),
        (&["flow", "stop", "firs"], "did you mean the flow `first`?"),
        (&["queues", "First"], "did you mean the flow `first`?"),
        (&["send", "first", "inn", "--text", "x"], "did you mean the interface `in`?"),
        (&["tail", "fist", "out"], "did you mean the flow `first`?"),
        (&["request", "first", "ot", "{}"], "did you mean the interface `out`?"),
        (&["swap", "first", "ehco", "echo"], "did you mean the processor `echo`?"),
        (&["swap", "first", "echo:firts", "echo"], "did you mean the variant `first`?"),
        (&["flow", "start", "cpoy", "second"], "did you mean the blueprint `copy`?"),
        (&["blueprint", "get", "copyy"], "did you mean the blueprint `copy`? weir blueprint list shows all blueprints"),
    ] {
        let output = weir.run(arguments).await;
        let said = said(&output, folder.path());
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.ends_with(&format!("  next: {advice}\n")), "{arguments:?}: {said}");
    }
    check(
        &weir.run(&["flow", "show", "elsewhere"]).await,
        folder.path(),
        1,
        &expect![[r#"
            error: there is no flow `elsewhere`; flows: first
        "#]],
    );
}
