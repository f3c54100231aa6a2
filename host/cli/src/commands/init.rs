//! `weir init`: a data folder with a settings file that explains every setting.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::client::data_option;
use crate::folder;
use crate::output::{self, Format};
use crate::problem::{Exit, Problem};
use crate::settings::{FILE_NAME, template};

/// Makes the folder and the file; a file that is there is left as it is.
pub(crate) fn run(data: &Path, format: Format) -> Result<()> {
    let unusable = |error: std::io::Error| {
        Problem::new(Exit::NoFolder, format!("the data folder {} cannot be made", data.display()))
            .because(error)
            .next("choose a folder that you may write to: weir init --data DIR")
    };
    folder::make_private(data).map_err(unusable)?;
    let path = data.join(FILE_NAME);
    // What is there is never written over, not even by two at a time.
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => write(&mut file, &path).map_err(|error| {
            // Half a file would pass for one that somebody wrote.
            let _ = std::fs::remove_file(&path);
            unusable(error)
        })?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Problem::new(Exit::Failed, format!("{} is there already and was left as it is", path.display()))
                .next(format!("change it, or move it away and run this again; weir settings show{} tells what counts", data_option(data)))
                .into());
        }
        Err(error) => return Err(unusable(error).into()),
    }
    match format {
        Format::Json => output::json(&json!({"data": data, "settings": path}))?,
        Format::Text => {
            output::line(&format!("{} is written; every default is in it, commented out", path.display()))?;
            output::line(&format!("  change what you like, look with `weir settings show{0}`, then start: weir up{0}", data_option(data)))?;
        }
    }
    Ok(())
}

fn write(file: &mut File, path: &Path) -> std::io::Result<()> {
    file.write_all(template().as_bytes())?;
    file.sync_all()?;
    folder::sync_folder_of(path)
}
