//! What is being rendered this moment, on disk, so that a process that dies over it is found out.
//!
//! A file per delivery, there while it is rendered. It is never synced: a process that dies leaves its
//! writes with the system, and a power cut is nobody's fault. Only suspects are marked (see
//! `queue::restore`), so the normal path writes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::message::id::{DestinationId, Seq};

/// Marks of one process, and those that the process before left.
#[derive(Debug, Default)]
pub struct Marker {
    folder: Option<PathBuf>,
    left: BTreeSet<(DestinationId, Seq)>,
}

impl Marker {
    /// Takes over what the process before left in `folder`, which is made if it is not there. A mark stays
    /// until its delivery is rendered to an end, so that a death is not forgotten by the next one.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut left = BTreeSet::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if let Some(delivery) = entry.file_name().to_str().and_then(parse) {
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

    /// Rendering begins.
    pub(super) fn begin(&self, destination: DestinationId, seq: Seq) {
        if let Some(path) = self.path(destination, seq)
            && let Err(error) = fs::write(path, [])
        {
            tracing::warn!(%error, "what is in work cannot be marked");
        }
    }

    /// Rendering ended, however.
    pub(super) fn end(&self, destination: DestinationId, seq: Seq) {
        if let Some(path) = self.path(destination, seq)
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, "a mark of what was in work cannot be removed");
        }
    }

    fn path(&self, destination: DestinationId, seq: Seq) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{destination}-{seq}")))
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
        let marker = Marker::open(folder.path()).unwrap();
        marker.begin(DestinationId(3), Seq(7));
        marker.begin(DestinationId(3), Seq(8));
        marker.end(DestinationId(3), Seq(8));
        let next = Marker::open(folder.path()).unwrap();
        assert!(next.died_over(DestinationId(3), Seq(7)));
        assert!(!next.died_over(DestinationId(3), Seq(8)));
        next.end(DestinationId(3), Seq(7));
        assert!(!Marker::open(folder.path()).unwrap().died_over(DestinationId(3), Seq(7)));
    }
}
