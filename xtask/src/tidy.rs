//! `cargo xtask tidy`: what the compiler cannot hold. Floors of the house, rooms inside a service, how files open and how
//! long they get. It only reads.

mod files;
mod floors;

use std::path::Path;

use anyhow::{Context as _, bail};

/// Everything that is out of order, each as one sentence.
///
/// # Errors
/// The tree could not be read, or something is out of order.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(root)
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .context("cargo metadata could not describe the workspace")?;
    let mut complaints = floors::complaints(&floors::edges(&metadata));
    let sources = files::sources(root)?;
    complaints.extend(files::complaints(&sources));
    complaints.extend(files::top_level(root)?);
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    if !complaints.is_empty() {
        bail!("tidy found {} things out of order", complaints.len());
    }
    println!("tidy: {} source files in order, median {} lines", sources.len(), files::median_lines(&sources));
    Ok(())
}
