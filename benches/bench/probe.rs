//! The limits of this machine, measured in the same run as the cases.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::report::{Report, figure, median};
use crate::sample::oru;

/// Bytes of the preallocated log.
const LOG_BYTES: u64 = 64 << 20;

/// A log in a preallocated file: the floor under any durable store.
pub(crate) struct RawLog {
    file: File,
    at: u64,
}

impl RawLog {
    /// A log in `folder`, written over once so that no later write changes its size.
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("raw.log");
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path).unwrap();
        let block = vec![0_u8; 1 << 20];
        for place in 0..(LOG_BYTES >> 20) {
            file.write_all_at(&block, place << 20).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, at: 0 }
    }

    /// Writes a batch and waits for the disk.
    pub(crate) fn commit(&mut self, batch: &[u8]) {
        let length = u64::try_from(batch.len()).unwrap();
        if self.at + length > LOG_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(batch, self.at).unwrap();
        self.file.sync_data().unwrap();
        self.at += length;
    }

    /// Messages a second, so many a commit.
    pub(crate) fn rate(&mut self, per_commit: usize, commits: usize) -> f64 {
        let started = Instant::now();
        for commit in 0..commits {
            let mut batch = Vec::new();
            for n in 0..per_commit {
                let n = u64::try_from(commit * per_commit + n).unwrap();
                batch.extend_from_slice(oru(n).as_bytes());
            }
            self.commit(&batch);
        }
        figure(per_commit * commits) / started.elapsed().as_secs_f64()
    }
}

/// Prints what the disk can do.
pub(crate) fn limits(report: &mut Report) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut log = RawLog::new(folder.path());
    for size in [4_096_usize, 16_384, 163_840, 1 << 20] {
        let block = vec![b'x'; size];
        let waits = (0..60).map(|_| {
            let started = Instant::now();
            log.commit(&block);
            started.elapsed().as_secs_f64() * 1e6
        });
        let p50 = median(waits.collect());
        report.row(&format!("limit_overwrite_{size}"), None, &[("p50_us", p50)]);
    }
    for (per_commit, commits) in [(1, 200), (10, 100), (100, 40)] {
        let rate = log.rate(per_commit, commits);
        report.row(&format!("limit_log_{per_commit}"), None, &[("messages_per_s", rate)]);
    }
}
