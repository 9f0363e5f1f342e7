//! What is being rendered this moment, on disk, so that a process that dies over it is found out.
//!
//! A file per delivery: a byte that says whether it is being rendered, and the number of the attempt, so that
//! a mark that an earlier process left accuses no later attempt. It is never synced: a process that dies
//! leaves its writes with the system, and a power cut is nobody's fault. Only suspects are marked (see
//! `queue::restore`), so the normal path writes nothing.
//!
//! Making and removing a file takes as long as rendering, or longer where the disk stalls, and a process that
//! is killed meanwhile did not render. So the file is made before the byte says that rendering began, and
//! removed after it says that it ended; between these only a byte is written over another.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::message::id::{DestinationId, Seq};

const PREPARED: char = 'p';
const RENDERING: char = 'r';
const DONE: char = 'd';

/// Marks of one process, and those that the process before left.
#[derive(Debug, Default)]
pub struct Marker {
    folder: Option<PathBuf>,
    left: BTreeMap<(DestinationId, Seq), u32>,
}

/// The mark of one delivery, from before it is rendered until after.
#[derive(Debug, Default)]
pub(super) struct Mark(Option<(File, PathBuf)>);

impl Marker {
    /// Takes over what processes before left in `folder`, which is made if it is not there. The mark of a death
    /// stays until its delivery is marked anew, so that it is not forgotten by the next one.
    ///
    /// # Errors
    /// When the folder or a mark in it cannot be made, read or removed.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut left = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Some(delivery) = entry.file_name().to_str().and_then(parse_name) else { continue };
            match parse_mark(&fs::read(entry.path())?) {
                Some(number) => {
                    left.insert(delivery, number);
                }
                None => fs::remove_file(entry.path())?,
            }
        }
        Ok(Self { folder: Some(folder.to_path_buf()), left })
    }

    /// The attempt at this delivery during whose rendering a process before died.
    #[must_use]
    pub fn died_over(&self, destination: DestinationId, seq: Seq) -> Option<u32> {
        self.left.get(&(destination, seq)).copied()
    }

    /// A delivery is about to be rendered.
    pub(super) fn prepare(&self, destination: DestinationId, seq: Seq, attempt: u32) -> Mark {
        let Some(folder) = &self.folder else { return Mark::default() };
        let path = folder.join(format!("{destination}-{seq}"));
        let text = format!("{PREPARED}{attempt:010}");
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        match file.and_then(|file| file.write_all_at(text.as_bytes(), 0).map(|()| file)) {
            Ok(file) => Mark(Some((file, path))),
            Err(error) => {
                tracing::warn!(%error, "what is in work cannot be marked");
                Mark::default()
            }
        }
    }
}

impl Mark {
    /// Rendering begins.
    pub(super) fn begin(&self) {
        self.write(RENDERING);
    }

    /// Rendering ended, however.
    pub(super) fn end(self) {
        self.write(DONE);
        if let Some((_, path)) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, "a mark of what was in work cannot be removed");
        }
    }

    fn write(&self, state: char) {
        if let Some((file, _)) = &self.0
            && let Err(error) = file.write_all_at(state.encode_utf8(&mut [0; 4]).as_bytes(), 0)
        {
            tracing::warn!(%error, "what is in work cannot be marked");
        }
    }
}

fn parse_name(name: &str) -> Option<(DestinationId, Seq)> {
    let (destination, seq) = name.split_once('-')?;
    Some((DestinationId(destination.parse().ok()?), Seq(seq.parse().ok()?)))
}

/// The number of the attempt, if it was being rendered.
fn parse_mark(mark: &[u8]) -> Option<u32> {
    str::from_utf8(mark).ok()?.strip_prefix(RENDERING)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_and_not_ended_is_found_until_it_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Marker::open(folder.path()).unwrap();
        let died = |seq| open().died_over(DestinationId(3), Seq(seq));
        let marker = open();
        let mark = |seq, attempt| marker.prepare(DestinationId(3), Seq(seq), attempt);
        let prepared = mark(6, 1);
        assert_eq!(died(6), None, "killed while the file was being made");
        drop(prepared);
        let (first, second, third) = (mark(7, 1), mark(8, 1), mark(9, 1));
        first.begin();
        second.begin();
        second.end();
        third.begin();
        third.write(DONE);
        assert_eq!([7, 8, 9].map(died), [Some(1), None, None]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the others are removed");

        // The next process is killed before it comes to it: that is still the first attempt's mark.
        assert_eq!(died(7), Some(1));
        // It is about to, and then does.
        let again = mark(7, 12);
        assert!(fs::read(folder.path().join("3-7")).unwrap().starts_with(b"p"));
        again.begin();
        assert_eq!(died(7), Some(12));
        again.end();
        assert_eq!(died(7), None);
    }
}
