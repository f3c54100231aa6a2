//! Python: a virtual environment in `.weir/venv` with the SDK, whose build makes the component with componentize-py.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::language::{BuildContext, Language, SDK_VERSION, sdk_folder};
use crate::command_runner::program;
use crate::error::ProjectError;

/// Records what is installed in the environment, which is recreated when that changes.
const INSTALLED: &str = "weir-installed.txt";
const REQUIREMENTS: &str = "requirements.txt";

pub(super) const PYTHON: Language = Language {
    name: "python",
    title: "Python",
    default_source: "processor.py",
    handler: "decorate your function: @weir.processor",
    template: &[
        ("weir.toml", include_str!("template/weir.toml")),
        ("processor.py", include_str!("template/processor.py.txt")),
        ("requirements.txt", include_str!("template/requirements.txt")),
        ("tests/example.json", include_str!("../example.json")),
        ("README.md", include_str!("template/README.md")),
        (".gitignore", include_str!("template/gitignore.txt")),
    ],
    sdk: |folder| match folder {
        Some(folder) => folder.join("python").display().to_string(),
        None => format!("weir-sdk=={SDK_VERSION}"),
    },
    build,
};

fn build(context: &BuildContext<'_>) -> Result<PathBuf, ProjectError> {
    let python = environment(context)?;
    let descriptor = context.weir.join("descriptor.json");
    fs::write(&descriptor, context.descriptor).map_err(ProjectError::file(&descriptor, "written"))?;
    let output = context.weir.join("component.wasm");
    let mut command = Command::new(&python);
    command.current_dir(context.folder).args(["-m", "weir.build", "--project", ".", "--source"]).arg(context.source);
    command.arg("--descriptor").arg(&descriptor).arg("--work").arg(context.weir.join("build")).arg("--output").arg(&output);
    // It warns on standard error, which is shown even if the build succeeds.
    context.steps.run_warning("componentize-py", &mut command)?;
    Ok(output)
}

/// The Python of the project's own environment, with all requirements installed.
fn environment(context: &BuildContext<'_>) -> Result<PathBuf, ProjectError> {
    let folder = context.weir.join("venv");
    let python = folder.join("bin/python");
    let requirements = context.folder.join(REQUIREMENTS);
    let wanted = wanted(&requirements)?;
    let installed = folder.join(INSTALLED);
    if python.exists() && fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    make(context, &folder)?;
    let mut command = Command::new(&python);
    command.current_dir(context.folder).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    match sdk_folder() {
        Some(sdk) => command.arg("--editable").arg(format!("{}[build]", sdk.join("python").display())),
        None => command.arg(format!("weir-sdk[build]=={SDK_VERSION}")),
    };
    if requirements.is_file() {
        command.args(["--requirement", REQUIREMENTS]);
    }
    context.steps.run("pip install weir-sdk[build] and requirements.txt into .weir/venv", &mut command).map_err(advised)?;
    fs::write(&installed, wanted).map_err(ProjectError::file(&installed, "written"))?;
    Ok(python)
}

fn make(context: &BuildContext<'_>, folder: &Path) -> Result<(), ProjectError> {
    let missing = |tool: &str, fix: &str| ProjectError::MissingTool {
        tool: tool.to_owned(),
        needed_for: "needed to build components in Python",
        fix: fix.to_owned(),
    };
    let python = program("python3").ok_or_else(|| {
        missing(
            "python3",
            "install Python 3.11 or later, with its venv module: https://www.python.org/downloads, or on Debian `apt install \
             python3 python3-venv`",
        )
    })?;
    let mut command = Command::new(python);
    command.args(["-m", "venv", "--clear"]).arg(folder);
    context.steps.run("python3 -m venv .weir/venv", &mut command).map_err(|error| match error.output() {
        Some(output) if output.contains("ensurepip") || output.contains("No module named venv") => {
            missing("the venv module of python3", "install it: on Debian `apt install python3-venv`")
        }
        _ => error,
    })?;
    Ok(())
}

/// What the environment must contain, as a string.
fn wanted(requirements: &Path) -> Result<String, ProjectError> {
    let required = match requirements.is_file() {
        true => fs::read_to_string(requirements).map_err(ProjectError::file(requirements, "read"))?,
        false => String::new(),
    };
    let sdk = sdk_folder().map(|folder| {
        let manifest = fs::read_to_string(folder.join("python/pyproject.toml")).unwrap_or_default();
        format!("{}\n{manifest}", folder.display())
    });
    Ok(format!("{}\n{required}", sdk.unwrap_or_else(|| SDK_VERSION.to_owned())))
}

fn advised(error: ProjectError) -> ProjectError {
    match error {
        ProjectError::Step { step, output, fix: None } => {
            let fix = Some("check requirements.txt, and that pip can reach its package index (PIP_INDEX_URL)".to_owned());
            ProjectError::Step { step, output, fix }
        }
        other => other,
    }
}
