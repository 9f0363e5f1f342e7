//! One file for each message, complete or absent: written beside its place, synced, then given its
//! name in one step, and the directory synced too.
//!
//! ```text
//! .medway-adt-archive-<id>.part ──write, fsync──▶ link as name (fails when taken) ──▶ fsync directory
//! ```
//! A repeat finds its own file and is accepted; a name taken by other content is never overwritten
//! unless told so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::destination::pool::{Pool, PoolOptions};
use crate::destination::{Destination, DestinationName, EndpointView};
use crate::message::id::MessageId;
use crate::message::outcome::{Answer, Outbound, Outcome, Scope};

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
    /// Longest wait for the disk. Default 30 s.
    pub write_within: Duration,
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
            write_within: Duration::from_secs(30),
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

/// How writing ended.
#[derive(Debug)]
pub enum Written {
    /// The file is there, synced.
    Now,
    /// It was there already, with the same content.
    Before,
    /// A file with this name and other content is there.
    Taken,
    /// The directory holds as many files as it may.
    Full,
    /// The system said no; nothing is there under the name.
    Error(io::Error),
}

/// The outcome that follows; `None` when the disk did not answer in time.
#[must_use]
pub fn outcome_of(written: Option<&Written>) -> Outcome {
    let failed = |code: &'static str, text: &str| Outcome::Failed {
        answer: Answer::new(code, text),
        scope: Scope::Endpoint,
        retry_after: None,
    };
    match written {
        Some(Written::Now) => Outcome::Accepted(Answer::new("written", "")),
        Some(Written::Before) => Outcome::Accepted(Answer::new("exists", "same content")),
        Some(Written::Taken) => Outcome::Rejected(Answer::new(
            "taken",
            "a file with this name and other content is there",
        )),
        Some(Written::Full) => failed("full", "the directory holds `files_max` files"),
        Some(Written::Error(error)) => match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                failed("disk_full", &error.to_string())
            }
            ErrorKind::NotFound => {
                failed("unwritable", "the directory is not there: make it, or mount its disk")
            }
            _ => failed("unwritable", &error.to_string()),
        },
        None => Outcome::Uncertain(Answer::new("timeout", "the disk did not answer in time")),
    }
}

/// Writes files.
pub struct FileDestination {
    writer: Arc<Writer>,
    pool: Pool,
}

/// Who writes under a name that may be replaced holds its place here, also when nobody waits for him any
/// more: what a disk that stalled writes late must not take the place of newer content. Names share places
/// by their hash. One for all destinations: after a reload, an old one's threads may still write.
static PLACES: LazyLock<Vec<Arc<tokio::sync::Mutex<()>>>> =
    LazyLock::new(|| (0..PLACES_COUNT).map(|_| Arc::default()).collect());
const PLACES_COUNT: u64 = 256;

fn place_of(target: &Path) -> Arc<tokio::sync::Mutex<()>> {
    let hash = xxhash_rust::xxh3::xxh3_64(target.as_os_str().as_encoded_bytes());
    let index = usize::try_from(hash % PLACES_COUNT).unwrap_or(0);
    PLACES.get(index).map(Arc::clone).unwrap_or_default()
}

/// What a blocking thread needs.
struct Writer {
    options: FileDestinationOptions,
    /// Beginning of the names of this destination's unfinished files.
    part_prefix: String,
    room: Mutex<Room>,
}

/// How many files the current directory may still take before they are counted again.
#[derive(Default)]
struct Room {
    directory: PathBuf,
    files: u32,
    is_swept: bool,
}

impl FileDestination {
    /// A destination that writes below the directory of its options.
    #[must_use]
    pub fn new(name: &DestinationName, options: FileDestinationOptions) -> Self {
        let pool = Pool::new([options.directory.display().to_string()], PoolOptions::default());
        let owner = format!("{}-{}", name.channel, name.destination);
        let part_prefix = format!(".medway-{}-", file_name(&owner));
        let writer = Writer { options, part_prefix, room: Mutex::default() };
        Self { writer: Arc::new(writer), pool }
    }
}

#[async_trait]
impl Destination for FileDestination {
    async fn send(&self, outbound: &Outbound, stop: &CancellationToken) -> Outcome {
        if stop.is_cancelled() {
            return super::stopped();
        }
        let options = &self.writer.options;
        let folder = outbound.attribute("folder").or(options.folder.as_deref());
        let directory = below(&options.directory, folder.unwrap_or_default());
        let name = match outbound.attribute("name").or(options.name.as_deref()) {
            Some(name) => file_name(name),
            None => file_name(&format!("{}.{}", outbound.id, options.extension)),
        };
        let in_flight = self.pool.begin(0, Instant::now());
        let (writer, body) = (Arc::clone(&self.writer), outbound.body.clone());
        let mut held = None;
        if options.if_exists == IfExists::Replace {
            let place = place_of(&directory.join(&name)).lock_owned();
            let Ok(place) = timeout(options.write_within, place).await else {
                let text = "an earlier file of this name is still being written";
                in_flight.failed(text, Instant::now());
                return Outcome::Failed {
                    answer: Answer::new("busy", text),
                    scope: Scope::Endpoint,
                    retry_after: None,
                };
            };
            held = Some(place);
        }
        let writing = tokio::task::spawn_blocking(move || {
            let _held = held;
            writer.write(&directory, &name, &body).unwrap_or_else(Written::Error)
        });
        let written = match timeout(options.write_within, writing).await {
            Ok(Ok(written)) => Some(written),
            Ok(Err(error)) => Some(Written::Error(io::Error::other(error))),
            Err(_) => None,
        };
        let outcome = outcome_of(written.as_ref());
        match &outcome {
            Outcome::Accepted(_) | Outcome::Rejected(_) => in_flight.succeeded(),
            _ => in_flight.failed(&outcome.answer().text, Instant::now()),
        }
        outcome
    }

    fn endpoints(&self) -> Vec<EndpointView> {
        self.pool.endpoints()
    }
}

impl Writer {
    fn write(&self, directory: &Path, name: &str, body: &Bytes) -> io::Result<Written> {
        self.make(directory)?;
        let target = directory.join(name);
        if let Some(found) = self.compare(&target, body)? {
            return Ok(found);
        }
        if !self.has_room(directory)? {
            return Ok(Written::Full);
        }
        let part = directory.join(format!("{}{}.part", self.part_prefix, MessageId::new()));
        let placed = write_synced(&part, body).and_then(|()| self.place(&part, &target, body));
        // The name is given by a link: what is removed here is the second name, or what failed.
        let removed = fs::remove_file(&part);
        let placed = placed?;
        if let (Written::Now, Err(error)) = (&placed, removed)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "an unfinished file could not be removed");
        }
        sync_directory(directory)?;
        Ok(placed)
    }

    /// Makes the folders below the directory; the directory itself must be there, since a missing one
    /// is an unmounted disk more often than a new one.
    fn make(&self, directory: &Path) -> io::Result<()> {
        let base = &self.options.directory;
        let Ok(below) = directory.strip_prefix(base) else { return Ok(()) };
        let mut path = base.clone();
        for part in below {
            let above = path.clone();
            path.push(part);
            match fs::create_dir(&path) {
                Ok(()) => sync_directory(&above)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What a file that is there already means; `None` when there is none, or it may be replaced.
    fn compare(&self, target: &Path, body: &Bytes) -> io::Result<Option<Written>> {
        let file = match File::open(target) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() == size {
            let mut content = Vec::with_capacity(body.len());
            (&file).take(size.saturating_add(1)).read_to_end(&mut content)?;
            if content == *body {
                // The crash that made this a repeat may have come before it was synced.
                file.sync_all()?;
                if let Some(directory) = target.parent() {
                    sync_directory(directory)?;
                }
                return Ok(Some(Written::Before));
            }
        }
        let replace = self.options.if_exists == IfExists::Replace && metadata.is_file();
        Ok((!replace).then_some(Written::Taken))
    }

    /// Gives the finished file its name, without ever overwriting another unless told so.
    fn place(&self, part: &Path, target: &Path, body: &Bytes) -> io::Result<Written> {
        if self.options.if_exists == IfExists::Replace {
            return fs::rename(part, target).map(|()| Written::Now);
        }
        match fs::hard_link(part, target) {
            Ok(()) => Ok(Written::Now),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Ok(self.compare(target, body)?.unwrap_or(Written::Taken))
            }
            // File systems without links (FAT, some network shares): look, then rename.
            Err(error)
                if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) =>
            {
                match self.compare(target, body)? {
                    Some(found) => Ok(found),
                    None => fs::rename(part, target).map(|()| Written::Now),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the directory may take one more; counts its files only when the last count is used up.
    fn has_room(&self, directory: &Path) -> io::Result<bool> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if room.directory != directory || room.files == 0 {
            if !room.is_swept {
                self.sweep(directory)?;
                room.is_swept = true;
            }
            let count = fs::read_dir(directory)?.count();
            room.directory = directory.to_owned();
            room.files =
                self.options.files_max.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        }
        if room.files == 0 {
            return Ok(false);
        }
        room.files -= 1;
        Ok(true)
    }

    /// Removes what an earlier process of this destination left unfinished. Called before the first
    /// file of this process is begun.
    fn sweep(&self, directory: &Path) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&self.part_prefix) && name.ends_with(".part") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

fn write_synced(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(body)?;
    file.sync_all()
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Longest name written, in bytes: file systems take 255.
const NAME_BYTES_MAX: usize = 200;

/// A name that stays in its directory whatever the message says: no separators, no control characters,
/// nothing hidden. A longer one is cut and ends with a hash of the whole.
fn file_name(wanted: &str) -> String {
    let plain = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let mut name: String = wanted.trim().chars().map(plain).collect();
    if name.is_empty() || name.starts_with('.') {
        name.insert(0, '_');
    }
    if name.len() > NAME_BYTES_MAX {
        let hash = xxhash_rust::xxh3::xxh3_64(wanted.as_bytes());
        let mut end = NAME_BYTES_MAX;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        name.push_str(&format!("-{hash:016x}"));
    }
    name
}

/// The directory and the folders below it, each made safe.
fn below(directory: &Path, folder: &str) -> PathBuf {
    let parts = folder.split(['/', '\\']).filter(|part| !part.is_empty());
    parts.fold(directory.to_owned(), |path, part| path.join(file_name(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        let check = |wanted: &str, expected: &str| assert_eq!(file_name(wanted), expected);
        check("M1.hl7", "M1.hl7");
        check("患者-1.hl7", "患者-1.hl7");
        check("../../etc/passwd", "_.._.._etc_passwd");
        check(".hidden", "_.hidden");
        check("..", "_..");
        check(" ", "_");
        check("a\0b\rc|d", "a_b_c_d");
    }

    #[test]
    fn long_names_stay_apart() {
        let (one, two) = (file_name(&format!("{}1", "患".repeat(99))), file_name(&"患".repeat(99)));
        assert!(one.len() <= 217 && two.len() <= 217, "{} {}", one.len(), two.len());
        assert_ne!(one, two);
    }

    #[test]
    fn folders_stay_below() {
        let check = |folder: &str, expected: &str| {
            assert_eq!(below(Path::new("/out"), folder), Path::new(expected));
        };
        check("", "/out");
        check("2026/11/22", "/out/2026/11/22");
        check("/etc/../x", "/out/etc/_../x");
    }
}
