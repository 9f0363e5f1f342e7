//! What the committer and the readers share in memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{broadcast, watch};

use crate::message::StoredMessage;
use crate::message::id::Seq;
use crate::store::sqlite::dictionary::Dictionary;
use crate::store::sqlite::index::Tail;
use crate::store::sqlite::log::Readers;
use crate::store::sqlite::resources::tail::ResourceTail;
use crate::store::{StoreError, StoreStatus};

/// Freshly committed messages of one commit.
pub(super) type Fresh = Arc<[Arc<StoredMessage>]>;

/// See the module.
pub(super) struct Shared {
    dictionary: RwLock<Dictionary>,
    tail: RwLock<Tail>,
    resources: RwLock<ResourceTail>,
    /// Freshly committed messages go out here.
    pub(super) committed: broadcast::Sender<Fresh>,
    /// Last place in the log.
    pub(super) head: AtomicI64,
    /// First place still there.
    pub(super) first: AtomicI64,
    /// Commits so far.
    pub(super) commits: AtomicU64,
    failing: Mutex<Option<String>>,
    broken: Mutex<Option<StoreError>>,
    /// Turns true when the committer has ended.
    pub(super) ended: watch::Sender<bool>,
    /// Connections that read whole messages.
    pub(super) readers: Readers,
    path: PathBuf,
}

impl Shared {
    /// What a store at `path` begins with.
    pub(super) fn new(
        path: PathBuf,
        dictionary: Dictionary,
        (tail, resources): (Tail, ResourceTail),
        fresh_batches_max: usize,
        readers: u32,
    ) -> Self {
        Self {
            dictionary: RwLock::new(dictionary),
            tail: RwLock::new(tail),
            resources: RwLock::new(resources),
            committed: broadcast::channel(fresh_batches_max).0,
            head: AtomicI64::new(0),
            first: AtomicI64::new(0),
            commits: AtomicU64::new(0),
            failing: Mutex::new(None),
            broken: Mutex::new(None),
            ended: watch::channel(false).0,
            readers: Readers::new(path.clone(), readers),
            path,
        }
    }

    /// The words, to look up.
    pub(super) fn dictionary(&self) -> RwLockReadGuard<'_, Dictionary> {
        self.dictionary.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The words, to add to: the committer alone.
    pub(super) fn dictionary_mut(&self) -> RwLockWriteGuard<'_, Dictionary> {
        self.dictionary.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tail of the search index, to search.
    pub(super) fn tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tail of the search index, to add to: the committer alone.
    pub(super) fn tail_mut(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tail of the resource index, to search.
    pub(super) fn resources(&self) -> RwLockReadGuard<'_, ResourceTail> {
        self.resources.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tail of the resource index, to add to: the committer alone.
    pub(super) fn resources_mut(&self) -> RwLockWriteGuard<'_, ResourceTail> {
        self.resources.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Last place in the log.
    pub(super) fn head(&self) -> Seq {
        Seq(self.head.load(Ordering::Acquire))
    }

    /// Sets or clears the reason why commits fail.
    pub(super) fn set_failing(&self, reason: Option<String>) {
        *lock(&self.failing) = reason;
    }

    /// The store may not go on: whoever asks is told why.
    pub(super) fn set_broken(&self, error: &StoreError) {
        self.set_failing(Some(error.to_string()));
        lock(&self.broken).get_or_insert(error.clone());
    }

    /// Why the store may not go on.
    pub(super) fn broken(&self) -> Option<StoreError> {
        lock(&self.broken).clone()
    }

    /// Size of the write-ahead log, in bytes.
    pub(super) fn log_bytes(&self) -> u64 {
        size_of(&beside(&self.path, "-wal"))
    }

    /// Sizes and counts.
    pub(super) fn status(&self) -> StoreStatus {
        StoreStatus {
            head: self.head(),
            first: Seq(self.first.load(Ordering::Acquire)),
            size_bytes: size_of(&self.path) + self.log_bytes(),
            failing: lock(&self.failing).clone(),
            fatal: lock(&self.broken).is_some(),
            commits: self.commits.load(Ordering::Acquire),
        }
    }
}

/// The file of the same name with an ending added.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
