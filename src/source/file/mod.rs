//! Files of a directory: taken when they are complete, moved away after the commit.
//!
//! A file is taken whole or not at all. A crash between commit and move leaves the file where it was;
//! at the next start it is recognised by its name, time of change and content, and only moved.

pub mod options;

mod directory;
mod pattern;
mod read;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::source::file::directory::{Found, Look, Watch, delete, look, move_to, write_reason};
use crate::source::file::options::{Done, FileSourceOptions};
use crate::source::file::pattern::is_sensible;
use crate::source::file::read::{Loaded, load};
use crate::source::intake::{Intake, Reply};
use crate::source::listener::SourceError;
use crate::source::status::SourceStatus;

/// Files of one message each that share a transaction.
const GROUP_FILES_MAX: usize = 200;
/// Their bytes.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// A file source that does not look yet.
pub struct FileSource {
    channel: Arc<str>,
    options: FileSourceOptions,
    clock: Clock,
}

/// A file source whose directories are there.
pub struct BoundFileSource {
    source: FileSource,
    failed: PathBuf,
    done: Option<PathBuf>,
    status: Arc<SourceStatus>,
}

/// What becomes of a file.
#[derive(Debug, Clone)]
enum Fate {
    Done,
    Failed(String),
}

/// Why a look ended early.
enum Pause {
    /// Nothing can be taken now: wait for the next look.
    Unavailable,
    /// The engine stops.
    Stopped,
}

impl FileSource {
    /// A source of `channel`.
    #[must_use]
    pub const fn new(channel: Arc<str>, options: FileSourceOptions, clock: Clock) -> Self {
        Self { channel, options, clock }
    }

    /// Checks the directories, and makes `done` and `failed`.
    ///
    /// # Errors
    /// When a directory cannot be used, or the pattern matches no file name.
    pub async fn bind(self) -> Result<BoundFileSource, SourceError> {
        let options = &self.options;
        if !is_sensible(&options.pattern) {
            return Err(SourceError::Pattern(options.pattern.to_string()));
        }
        let watched = options.directory.clone();
        let unusable = |directory: &Path, error| SourceError::Directory {
            directory: directory.to_path_buf(),
            error,
        };
        drop(tokio::fs::read_dir(&watched).await.map_err(|error| unusable(&watched, error))?);
        let failed = watched.join(&options.failed);
        let done = match &options.done {
            Done::MoveTo(directory) => Some(watched.join(directory)),
            Done::Delete => None,
        };
        for directory in done.iter().chain([&failed]) {
            prepare(&watched, directory).await.map_err(|error| unusable(directory, error))?;
        }
        Ok(BoundFileSource { source: self, failed, done, status: Arc::default() })
    }
}

/// Makes a directory that files can be renamed into.
async fn prepare(watched: &Path, directory: &Path) -> io::Result<()> {
    tokio::fs::create_dir_all(directory).await?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (from, to) =
            (tokio::fs::metadata(watched).await?, tokio::fs::metadata(directory).await?);
        if from.dev() != to.dev() {
            return Err(io::Error::new(
                io::ErrorKind::CrossesDevices,
                "it is on another file system than the watched directory",
            ));
        }
    }
    let probe = directory.join(".medway-probe");
    tokio::fs::write(&probe, b"").await?;
    tokio::fs::remove_file(&probe).await
}

impl BoundFileSource {
    /// Its live counters.
    #[must_use]
    pub fn status(&self) -> Arc<SourceStatus> {
        Arc::clone(&self.status)
    }

    /// Takes files until `stop`. Needs no task of its own: `_tracker` is there for symmetry with the
    /// other sources.
    pub async fn run(self, intake: Intake, stop: CancellationToken, _tracker: TaskTracker) {
        let poll = self.source.options.poll;
        let mut round = Round {
            source: self,
            intake,
            stop,
            watch: Watch::default(),
            unmoved: BTreeMap::new(),
            failing: false,
        };
        loop {
            let more = match round.look().await {
                Ok(look) => match round.take(look.ready).await {
                    Ok(taken) => look.more && taken,
                    Err(Pause::Unavailable) => false,
                    Err(Pause::Stopped) => return,
                },
                Err(error) => round.report(&error),
            };
            let wait = if more { std::time::Duration::ZERO } else { poll };
            tokio::select! {
                () = round.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// The state between two looks.
struct Round {
    source: BoundFileSource,
    intake: Intake,
    stop: CancellationToken,
    watch: Watch,
    /// Files that are decided but could not be moved: only the move is tried again.
    unmoved: BTreeMap<String, Fate>,
    failing: bool,
}

impl Round {
    fn options(&self) -> &FileSourceOptions {
        &self.source.source.options
    }

    fn channel(&self) -> &str {
        &self.source.source.channel
    }

    async fn look(&mut self) -> io::Result<Look> {
        for (name, fate) in std::mem::take(&mut self.unmoved) {
            self.put_away(&name, fate).await;
        }
        let options = &self.source.source.options;
        let (directory, pattern) = (&options.directory, &options.pattern);
        let skip = |name: &str| self.unmoved.contains_key(name);
        let (found, more) =
            look(directory, pattern, options.order, options.files_max, skip).await?;
        let min_age = options.min_age;
        let ready = self.watch.ready(found, min_age, Instant::now());
        if std::mem::take(&mut self.failing) {
            info!(channel = %self.channel(), "the directory can be read again");
        }
        Ok(Look { ready, more })
    }

    /// Takes the files in order; answers whether there were any.
    async fn take(&mut self, files: Vec<Found>) -> Result<bool, Pause> {
        let any = !files.is_empty();
        let mut group = Vec::new();
        let mut bytes = 0;
        for file in files {
            if self.stop.is_cancelled() {
                return Err(Pause::Stopped);
            }
            let source = &self.source.source;
            let loaded = load(&source.channel, &source.options, &source.clock, &file).await;
            let loaded = match loaded {
                Ok(loaded) => loaded,
                Err(None) => continue,
                Err(Some(reason)) => {
                    self.settle(std::mem::take(&mut group)).await?;
                    bytes = 0;
                    self.refuse(&file.name, reason).await;
                    continue;
                }
            };
            let alone = loaded.messages.len() > 1;
            if alone {
                self.settle(std::mem::take(&mut group)).await?;
            }
            bytes += loaded.bytes();
            group.push(loaded);
            if alone || group.len() >= GROUP_FILES_MAX || bytes >= GROUP_BYTES_MAX {
                self.settle(std::mem::take(&mut group)).await?;
                bytes = 0;
            }
        }
        self.settle(group).await?;
        Ok(any)
    }

    /// Hands files to the intake in one transaction and puts each away by its reply.
    async fn settle(&mut self, group: Vec<Loaded>) -> Result<(), Pause> {
        let Some(first) = group.first() else { return Ok(()) };
        let whole = first.messages.len() > 1;
        let at = first.messages.first().map(|message| message.at).unwrap_or_default();
        let names: Vec<_> =
            group.iter().map(|file| (file.name.clone(), file.messages.len())).collect();
        let messages: Vec<_> = group.into_iter().flat_map(|file| file.messages).collect();
        let call = async {
            if whole {
                self.intake.receive_whole(messages).await
            } else {
                self.intake.receive_batch(messages).await
            }
        };
        let Ok(replies) = timeout(self.options().answer, call).await else {
            self.source.status.refused(at, "the store did not answer in time");
            return Err(Pause::Unavailable);
        };
        let mut replies = replies.as_slice();
        let mut paused = false;
        for (name, count) in names {
            let (own, rest) = replies.split_at_checked(count).unwrap_or((&[], &[]));
            replies = rest;
            if let Some(Reply::Unavailable { reason }) =
                own.iter().find(|reply| matches!(reply, Reply::Unavailable { .. }))
            {
                self.source.status.refused(at, reason);
                paused = true;
                continue;
            }
            match refusal(own) {
                None => {
                    own.iter().for_each(|_| self.source.status.received(at));
                    self.put_away(&name, Fate::Done).await;
                }
                Some(reason) => self.refuse(&name, reason).await,
            }
        }
        if paused { Err(Pause::Unavailable) } else { Ok(()) }
    }

    async fn refuse(&mut self, name: &str, reason: String) {
        let now = self.source.source.clock.now();
        let told = reason.lines().next().unwrap_or_default();
        self.source.status.refused(now, &format!("a file was refused: {told}"));
        warn!(channel = %self.channel(), "a file was refused; it and its reason stand in `failed`");
        self.put_away(name, Fate::Failed(reason)).await;
    }

    async fn put_away(&mut self, name: &str, fate: Fate) {
        let file = self.options().directory.join(name);
        let moved = match (&fate, &self.source.done) {
            (Fate::Done, Some(done)) => move_to(&file, done).await.map(drop),
            (Fate::Done, None) => delete(&file).await,
            (Fate::Failed(reason), _) => match move_to(&file, &self.source.failed).await {
                Ok(target) => write_reason(&target, reason).await,
                Err(error) => Err(error),
            },
        };
        match moved {
            Ok(()) => {}
            // Somebody else took it away: nothing is left to move.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.report(&error);
                self.unmoved.insert(name.to_owned(), fate);
            }
        }
    }

    /// Says once that the directory fails, until it works again. Always `false`: nothing more to take.
    fn report(&mut self, error: &io::Error) -> bool {
        let now = self.source.source.clock.now();
        self.source.status.refused(now, &format!("the directory cannot be used: {error}"));
        if !std::mem::replace(&mut self.failing, true) {
            warn!(channel = %self.channel(), %error, "the directory cannot be read or written");
        }
        false
    }
}

/// Why a file is refused, one line a message; `None` when all of it was taken.
fn refusal(replies: &[Reply]) -> Option<String> {
    let lines: Vec<_> = replies
        .iter()
        .enumerate()
        .filter_map(|(index, reply)| match reply {
            Reply::Refused(problem) => Some((index, problem)),
            _ => None,
        })
        .map(|(index, problem)| {
            let place = problem.location.as_ref().map_or_else(String::new, |location| {
                let field = location.field.map_or_else(String::new, |field| format!("-{field}"));
                format!(" at {}[{}]{field}", location.segment, location.sequence)
            });
            format!("message {}: {} {}{place}\n", index + 1, problem.code, problem.text)
        })
        .collect();
    (!lines.is_empty()).then(|| lines.concat())
}
