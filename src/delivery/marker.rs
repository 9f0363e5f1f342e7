//! What is being rendered this moment, on disk, so that a process that dies over it is found out.
//!
//! A file per delivery, whose one byte says whether it is being rendered. It is never synced: a process that
//! dies leaves its writes with the system, and a power cut is nobody's fault. Only suspects are marked (see
//! `queue::restore`), so the normal path writes nothing.
//!
//! The file system may let a call wait, for seconds where the disk stalls, and a process that is killed
//! meanwhile must not have rendered. So what waits is done before the byte says that rendering began, and
//! after it says that it ended; between these only a byte is written over another.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::message::id::{DestinationId, Seq};

const PREPARED: &[u8] = b"p";
const RENDERING: &[u8] = b"r";
const DONE: &[u8] = b"d";

/// Marks of one process, and those that the process before left.
#[derive(Debug, Default)]
pub struct Marker {
    folder: Option<PathBuf>,
    left: BTreeSet<(DestinationId, Seq)>,
}

/// The mark of one delivery, from before it is rendered until after.
#[derive(Debug, Default)]
pub(super) struct Mark(Option<(File, PathBuf)>);

impl Marker {
    /// Takes over what the process before left in `folder`, which is made if it is not there. A mark stays
    /// until its delivery is about to be rendered again, so that a death is not forgotten by the next one.
    ///
    /// # Errors
    /// When the folder or a mark in it cannot be made or read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut left = BTreeSet::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if let Some(delivery) = entry.file_name().to_str().and_then(parse)
                && fs::read(entry.path())? == RENDERING
            {
                left.insert(delivery);
            }
        }
        Ok(Self { folder: Some(folder.to_path_buf()), left })
    }

    /// Whether the process before died while it rendered this.
    #[must_use]
    pub fn died_over(&self, destination: DestinationId, seq: Seq) -> bool {
        self.left.contains(&(destination, seq))
    }

    /// A delivery is about to be rendered.
    pub(super) fn prepare(&self, destination: DestinationId, seq: Seq) -> Mark {
        let Some(folder) = &self.folder else { return Mark::default() };
        let path = folder.join(format!("{destination}-{seq}"));
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        match file.and_then(|file| file.write_all_at(PREPARED, 0).map(|()| file)) {
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

    fn write(&self, state: &[u8]) {
        if let Some((file, _)) = &self.0
            && let Err(error) = file.write_all_at(state, 0)
        {
            tracing::warn!(%error, "what is in work cannot be marked");
        }
    }
}

fn parse(name: &str) -> Option<(DestinationId, Seq)> {
    let (destination, seq) = name.split_once('-')?;
    Some((DestinationId(destination.parse().ok()?), Seq(seq.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_and_not_ended_is_found_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let died = |seq| {
            let next = Marker::open(folder.path()).unwrap();
            next.died_over(DestinationId(3), Seq(seq))
        };
        let marker = Marker::open(folder.path()).unwrap();
        let mark = |seq| marker.prepare(DestinationId(3), Seq(seq));
        let (first, second, third) = (mark(7), mark(8), mark(9));
        assert!(!died(7), "killed while the file was being made");
        first.begin();
        second.begin();
        second.end();
        assert_eq!([7, 8, 9].map(died), [true, false, false]);
        third.begin();
        third.write(DONE);
        assert!(!died(9), "killed while the file was being removed");

        // What the next process does with what it found.
        let again = mark(7);
        assert!(!died(7), "known to the store by now; not begun again yet");
        again.begin();
        again.end();
        assert_eq!([7, 8, 9].map(died), [false; 3]);
    }
}
