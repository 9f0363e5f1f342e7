//! The watched directory: which files are complete, and moving them away for good.

use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::fs;
use tokio::time::Instant;

use crate::source::file::options::FileOrder;
use crate::source::file::pattern::matches;

/// A file as one look found it. Sorted in the order of taking.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// Time of last change where that decides the order, otherwise the same for all.
    rank: Option<SystemTime>,
    pub(super) name: String,
    pub(super) changed: SystemTime,
    pub(super) size: u64,
}

/// Remembers since when each file has not changed. Counts on our own monotonic time: the clock of a
/// file server may be anywhere.
#[derive(Debug, Default)]
pub(super) struct Watch {
    still: BTreeMap<String, (SystemTime, u64, Instant)>,
}

/// What one look found.
pub(super) struct Look {
    /// Complete files, in order. One that is still written holds up those after it.
    pub(super) ready: Vec<Found>,
    /// Whether there was more than one look takes.
    pub(super) more: bool,
}

impl Watch {
    /// Keeps of `found` what stands before the first file that changed within `min_age`.
    pub(super) fn ready(
        &mut self,
        found: Vec<Found>,
        min_age: Duration,
        now: Instant,
    ) -> Vec<Found> {
        let mut still = BTreeMap::new();
        for file in &found {
            let since = match self.still.get(&file.name) {
                Some((changed, size, since)) if *changed == file.changed && *size == file.size => {
                    *since
                }
                _ => now,
            };
            still.insert(file.name.clone(), (file.changed, file.size, since));
        }
        self.still = still;
        let complete = |file: &Found| {
            let since = self.still.get(&file.name).map(|(.., since)| *since);
            since.is_some_and(|since| now.saturating_duration_since(since) >= min_age)
        };
        found.into_iter().take_while(complete).collect()
    }
}

/// The first `most` files of the directory that match, in order, and whether there are more. Memory
/// is bounded by `most`, however many files wait.
pub(super) async fn look(
    directory: &Path,
    pattern: &str,
    order: FileOrder,
    most: usize,
    skip: impl Fn(&str) -> bool,
) -> io::Result<(Vec<Found>, bool)> {
    let mut entries = fs::read_dir(directory).await?;
    let mut first: BinaryHeap<Found> = BinaryHeap::new();
    let mut more = false;
    while let Some(entry) = entries.next_entry().await? {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') || !matches(pattern, &name) || skip(&name) {
            continue;
        }
        // A file that went away between the two calls is no error.
        let Ok(known) = entry.metadata().await else { continue };
        if !known.is_file() {
            continue;
        }
        let changed = known.modified()?;
        let rank = (order == FileOrder::Changed).then_some(changed);
        first.push(Found { rank, name, changed, size: known.len() });
        if first.len() > most {
            first.pop();
            more = true;
        }
    }
    Ok((first.into_sorted_vec(), more))
}

/// Moves a file, durably, under a name that is free there.
pub(super) async fn move_to(file: &Path, directory: &Path) -> io::Result<PathBuf> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut target = directory.join(&name);
    let mut number = 1;
    while fs::try_exists(&target).await? {
        target = directory.join(format!("{name}.{number}"));
        number += 1;
    }
    fs::rename(file, &target).await?;
    sync_directory(directory).await?;
    sync_parent(file).await?;
    Ok(target)
}

/// Deletes a file, durably.
pub(super) async fn delete(file: &Path) -> io::Result<()> {
    fs::remove_file(file).await?;
    sync_parent(file).await
}

/// Writes why beside a file that was refused. Holds codes and places, no content.
pub(super) async fn write_reason(refused: &Path, reason: &str) -> io::Result<()> {
    let mut name = refused.file_name().unwrap_or_default().to_os_string();
    name.push(".reason.txt");
    fs::write(refused.with_file_name(name), reason).await
}

async fn sync_parent(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(parent) => sync_directory(parent).await,
        None => Ok(()),
    }
}

async fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory).await?.sync_all().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, size: u64) -> Found {
        let changed = SystemTime::UNIX_EPOCH;
        Found { rank: None, name: name.to_owned(), changed, size }
    }

    fn names(files: &[Found]) -> Vec<&str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn a_file_that_grows_holds_up_those_after_it() {
        let mut watch = Watch::default();
        let (start, age) = (Instant::now(), Duration::from_secs(2));
        let all = |size| vec![found("a", 1), found("b", size), found("c", 1)];
        assert!(watch.ready(all(1), age, start).is_empty());
        let later = start + Duration::from_secs(3);
        assert_eq!(names(&watch.ready(all(2), age, later)), ["a"]);
        let latest = later + Duration::from_secs(2);
        assert_eq!(names(&watch.ready(all(2), age, latest)), ["a", "b", "c"]);
    }
}
