//! What a file source may be told, with its defaults.

use std::path::PathBuf;
use std::time::Duration;

use crate::message::kind::ContentType;

/// Takes files from a directory, one message or one HL7 batch a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSourceOptions {
    /// The directory that is watched. Sub-directories are not.
    pub directory: PathBuf,
    /// Which names are taken: `*` any run of characters, `?` one. Names that begin with a dot never.
    pub pattern: Box<str>,
    /// How the content is read.
    pub content_type: ContentType,
    /// Time between two looks at the directory.
    pub poll: Duration,
    /// A file is taken once it has not changed for this long: its writer is done.
    pub min_age: Duration,
    /// In which order files are taken.
    pub order: FileOrder,
    /// Largest file, in bytes; a larger one goes to `failed` unread.
    pub file_bytes_max: usize,
    /// Files taken in one look; the rest waits for the next, at once.
    pub files_max: usize,
    /// What becomes of a file that was taken.
    pub done: Done,
    /// Where refused files go, each with a `.reason.txt` beside it. Relative to `directory`.
    pub failed: PathBuf,
    /// From the read to the store's answer; then the file stays and is tried at the next look.
    pub answer: Duration,
    /// How far back a file that was taken but not moved (a crash between the two) is recognised.
    pub repeat_within: Duration,
    /// Messages in one batch file; a larger one is refused.
    pub batch_messages_max: usize,
}

/// In which order files are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOrder {
    /// By name, byte by byte.
    Name,
    /// By time of last change, then by name.
    Changed,
}

/// What becomes of a file that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Moved there, durably. Relative to the watched directory; must be on the same file system.
    MoveTo(PathBuf),
    /// Deleted.
    Delete,
}

impl FileSourceOptions {
    /// Watches `directory` with the defaults.
    #[must_use]
    pub fn watch(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), ..Self::default() }
    }
}

impl Default for FileSourceOptions {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("."),
            pattern: "*.hl7".into(),
            content_type: ContentType::Hl7v2,
            poll: Duration::from_secs(1),
            min_age: Duration::from_secs(2),
            order: FileOrder::Name,
            file_bytes_max: 64 << 20,
            files_max: 1000,
            done: Done::MoveTo(PathBuf::from("done")),
            failed: PathBuf::from("failed"),
            answer: Duration::from_secs(30),
            repeat_within: Duration::from_hours(24 * 7),
            batch_messages_max: 100_000,
        }
    }
}
