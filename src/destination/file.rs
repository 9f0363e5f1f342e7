//! One file for each message, complete or absent: written beside its place, synced, renamed.

use std::path::PathBuf;

/// Writes each message as one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDestinationOptions {
    /// The directory. It must exist.
    pub directory: PathBuf,
    /// Directory below it, made when missing; a template arrives resolved in the attribute `folder` and
    /// goes before this one, e.g. `2026/11/22`. Default: none.
    pub folder: Option<String>,
    /// Name of the file; a template arrives resolved in the attribute `name` and goes before this one.
    /// Default: the id of the message and `extension`.
    pub name: Option<String>,
    /// Ending of a file without `name`. Default `hl7`.
    pub extension: String,
    /// What to do when a file with this name and other content is there. Default: refuse.
    pub if_exists: IfExists,
    /// Most files in one directory; above, sending fails until some are taken away. Default 100 000.
    pub files_max: u32,
}

impl Default for FileDestinationOptions {
    fn default() -> Self {
        Self {
            directory: PathBuf::new(),
            folder: None,
            name: None,
            extension: "hl7".to_owned(),
            if_exists: IfExists::default(),
            files_max: 100_000,
        }
    }
}

/// What to do when the file is there with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// The delivery is rejected: nothing is lost, a person looks.
    #[default]
    Reject,
    /// The new content takes its place, in one step.
    Replace,
}
