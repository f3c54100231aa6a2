//! Creates a project from the template of its language.

use std::fs;
use std::path::Path;

use crate::error::{MANIFEST_NAME, ProjectError};
use crate::languages::{Language, sdk_folder};

/// Creates a project in a folder that does not exist yet or is empty. The folder's name becomes the component's.
///
/// # Errors
/// `Exists` and `BadName` before anything is written; `File`.
pub fn make(language: &Language, folder: &Path) -> Result<(), ProjectError> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    check_name(&name)?;
    check_free(folder)?;
    for (path, text) in language.template {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(ProjectError::file(parent, "made"))?;
        fs::write(&file, filled(text, language, &name)).map_err(ProjectError::file(&file, "written"))?;
    }
    Ok(())
}

fn filled(text: &str, language: &Language, name: &str) -> String {
    let sdk = sdk_folder();
    let place = if sdk.is_some() {
        "the Weir checkout in which this `weir` was built"
    } else {
        "the package registry, in the version of this `weir`"
    };
    text.replace("{{NAME}}", name).replace("{{SDK}}", &(language.sdk)(sdk.as_deref())).replace("{{SDK_PLACE}}", place)
}

fn check_name(name: &str) -> Result<(), ProjectError> {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    // Not all languages allow a package name that begins with a digit, and the name must differ from the SDK's.
    match name.split('-').all(is_word) && !name.starts_with(|c: char| c.is_ascii_digit()) && !["weir", "weir-sdk"].contains(&name) {
        true => Ok(()),
        false => Err(ProjectError::BadName { name: weir_pubsub::shown(name) }),
    }
}

fn check_free(folder: &Path) -> Result<(), ProjectError> {
    let is_taken = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => true,
        Err(error) => return Err(ProjectError::file(folder, "read")(error)),
    };
    let path = if folder.join(MANIFEST_NAME).exists() { folder.join(MANIFEST_NAME) } else { folder.to_owned() };
    if is_taken { Err(ProjectError::Exists { path }) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use crate::languages::LANGUAGES;
    use crate::manifest::Manifest;

    #[test]
    fn every_template_has_a_manifest_and_fixtures_that_are_read() {
        let parent = tempfile::tempdir().unwrap();
        for language in LANGUAGES {
            let folder = parent.path().join(format!("count-{}", language.name));
            make(language, &folder).unwrap();
            let manifest = folder.join(MANIFEST_NAME);
            let checked = Manifest::parse(&manifest, &fs::read_to_string(&manifest).unwrap()).unwrap();
            assert_eq!(
                (checked.manifest.language().name, checked.manifest.name.as_str()),
                (language.name, folder.file_name().unwrap().to_str().unwrap())
            );
            assert!(folder.join(checked.manifest.source()).is_file(), "{}", language.name);
            let fixtures = crate::fixture::fixture_files(&folder).unwrap();
            assert_eq!(fixtures.len(), 1);
            fixtures.iter().for_each(|file| drop(Fixture::read(file).unwrap()));
            for (path, _) in language.template {
                let text = fs::read_to_string(folder.join(path)).unwrap();
                assert!(!text.contains("{{"), "{path}: {text}");
            }
            assert!(matches!(make(language, &folder), Err(ProjectError::Exists { .. })));
        }
    }

    #[test]
    fn names_are_those_of_components() {
        for (name, is_good) in
            [("word-counter", true), ("a1", true), ("1a", false), ("A", false), ("a_b", false), ("weir", false), ("", false)]
        {
            assert_eq!(check_name(name).is_ok(), is_good, "{name}");
        }
    }
}
