//! JavaScript and TypeScript: npm installs the tools in the project's `node_modules`; the SDK's build bundles the source and makes the component with
//! componentize-js.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::language::{BuildContext, Language, SDK_VERSION};
use crate::command_runner::program;
use crate::error::ProjectError;

/// The contract, which the build reads from a folder.
const CONTRACT: &str = include_str!("../../../../../wit/processor.wit");
/// Records what is installed; npm is run again when that changes.
const INSTALLED: &str = "node_modules/.weir-installed";
const BUILD: &str = "node_modules/weir-sdk/build/cli.js";
const HANDLER: &str = "write: export const handler = processor((doc) => { ... })";
/// The minimum major version for the build's tools.
const MIN_NODE: u32 = 20;

pub(super) const JS: Language = Language {
    name: "js",
    title: "JavaScript",
    default_source: "src/processor.js",
    handler: HANDLER,
    template: &[
        ("weir.toml", include_str!("template/js/weir.toml")),
        ("package.json", include_str!("template/js/package.json.txt")),
        ("src/processor.js", include_str!("template/js/processor.js.txt")),
        ("test/processor.test.js", include_str!("template/js/processor.test.js.txt")),
        ("tests/example.json", include_str!("../example.json")),
        ("README.md", include_str!("template/js/README.md")),
        (".gitignore", include_str!("template/gitignore.txt")),
    ],
    sdk,
    build,
};

pub(super) const TS: Language = Language {
    name: "ts",
    title: "TypeScript",
    default_source: "src/processor.ts",
    handler: HANDLER,
    template: &[
        ("weir.toml", include_str!("template/ts/weir.toml")),
        ("package.json", include_str!("template/ts/package.json.txt")),
        ("tsconfig.json", include_str!("template/ts/tsconfig.json.txt")),
        ("src/processor.ts", include_str!("template/ts/processor.ts.txt")),
        ("test/processor.test.ts", include_str!("template/ts/processor.test.ts.txt")),
        ("tests/example.json", include_str!("../example.json")),
        ("README.md", include_str!("template/ts/README.md")),
        (".gitignore", include_str!("template/gitignore.txt")),
    ],
    sdk,
    build,
};

/// The packages of a project besides its own. The packaged SDK contains the prepared JavaScript engine; with the SDK's sources, the first build
/// prepares it.
fn sdk(folder: Option<&Path>) -> String {
    // componentize-js needs the last one to start, but does not declare it.
    let of_path = [
        ("@bytecodealliance/componentize-js", "0.23.0"),
        ("@bytecodealliance/jco", "1.35.0"),
        ("@bytecodealliance/preview2-shim", "0.25.0"),
    ];
    let mut packages = if folder.is_some() { of_path.to_vec() } else { Vec::new() };
    let sdk = folder.map_or_else(|| SDK_VERSION.to_owned(), |folder| format!("file:{}", folder.join("js").display()));
    packages.extend([("esbuild", "0.28.2"), ("weir-sdk", sdk.as_str())]);
    packages.iter().map(|(name, version)| format!("\"{name}\": {version:?}")).collect::<Vec<_>>().join(",\n    ")
}

fn build(context: &BuildContext<'_>) -> Result<PathBuf, ProjectError> {
    let node = node()?;
    install(context)?;
    let wit = context.weir.join("wit");
    fs::create_dir_all(&wit).map_err(ProjectError::file(&wit, "made"))?;
    write(&wit.join("processor.wit"), CONTRACT)?;
    let descriptor = context.weir.join("descriptor.json");
    write(&descriptor, context.descriptor)?;
    let output = context.weir.join("component.wasm");
    let mut command = Command::new(node);
    command.current_dir(context.folder).args([BUILD, "--project", ".", "--source"]).arg(context.source);
    command.arg("--wit").arg(&wit).arg("--descriptor").arg(&descriptor).arg("--output").arg(&output);
    context.steps.run_warning("esbuild and componentize-js", &mut command)?;
    Ok(output)
}

fn write(file: &Path, text: &str) -> Result<(), ProjectError> {
    fs::write(file, text).map_err(ProjectError::file(file, "written"))
}

fn node() -> Result<PathBuf, ProjectError> {
    let missing = |tool: String| ProjectError::MissingTool {
        tool,
        needed_for: "needed to build components in JavaScript and TypeScript",
        fix: format!("install Node.js {MIN_NODE} or later, with npm: https://nodejs.org"),
    };
    let node = program("node").ok_or_else(|| missing("node".to_owned()))?;
    let version = Command::new(&node).arg("--version").output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let major = version.as_ref().ok().and_then(|version| version.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok());
    match (version, major) {
        (Ok(version), Some(major)) if major < MIN_NODE => Err(missing(format!("Node.js {MIN_NODE} (node is {version})"))),
        _ => Ok(node),
    }
}

/// Installs the packages of package.json with npm, unless they are already installed.
fn install(context: &BuildContext<'_>) -> Result<(), ProjectError> {
    let manifest = context.folder.join("package.json");
    let wanted = fs::read_to_string(&manifest).map_err(ProjectError::file(&manifest, "read"))?;
    let installed = context.folder.join(INSTALLED);
    if context.folder.join(BUILD).is_file() && fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    let npm = program("npm").ok_or_else(|| ProjectError::MissingTool {
        tool: "npm".to_owned(),
        needed_for: "needed to install the tools of a JavaScript or TypeScript project",
        fix: "install it: it comes with Node.js from https://nodejs.org, or on Debian `apt install npm`".to_owned(),
    })?;
    let verb = if context.folder.join("package-lock.json").is_file() { "ci" } else { "install" };
    let mut command = Command::new(&npm);
    command.current_dir(context.folder).args([verb, "--no-audit", "--no-fund", "--loglevel=error"]);
    match context.steps.run(&format!("npm {verb}"), &mut command) {
        // package.json was edited by hand: `npm install` updates the lock file.
        Err(ProjectError::Step { output, .. }) if verb == "ci" && output.contains(" in sync") => {
            let mut install = Command::new(&npm);
            install.current_dir(context.folder).args(["install", "--no-audit", "--no-fund", "--loglevel=error"]);
            context.steps.run("npm install, since package.json has changed", &mut install)?;
        }
        installed => drop(installed?),
    }
    if !context.folder.join(BUILD).is_file() {
        let problem = "the SDK is missing from its dependencies".to_owned();
        let fix = Some(format!("add to \"devDependencies\": {}", sdk(super::language::sdk_folder().as_deref())));
        return Err(ProjectError::Component { file: manifest, problem, fix });
    }
    write(&installed, &wanted)
}
