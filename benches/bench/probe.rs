//! The limits of this machine, measured in the same run as the cases.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::report::{Report, figure, median};
use crate::sample::oru;

/// Bytes of the preallocated log.
const LOG_BYTES: u64 = 64 << 20;
/// Bytes after which a growing log begins anew.
const GROWN_BYTES: u64 = 512 << 20;

/// A log in a file: the floor under any durable store.
pub(crate) struct RawLog {
    file: File,
    at: u64,
    limit: u64,
    grows: bool,
}

impl RawLog {
    /// A log that grows by what is appended to it, as logs do.
    pub(crate) fn growing(folder: &Path) -> Self {
        let path = folder.join("raw.log");
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path).unwrap();
        file.sync_all().unwrap();
        Self { file, at: 0, limit: GROWN_BYTES, grows: true }
    }

    /// One whose file was written over once, so that no later write changes its size: the least a disk asks
    /// for. It is never read, and forgets what it held when it comes round.
    pub(crate) fn preallocated(folder: &Path) -> Self {
        let path = folder.join("preallocated.log");
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path).unwrap();
        let block = vec![0_u8; 1 << 20];
        for place in 0..(LOG_BYTES >> 20) {
            file.write_all_at(&block, place << 20).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, at: 0, limit: LOG_BYTES, grows: false }
    }

    /// Writes a batch and waits for the disk.
    pub(crate) fn commit(&mut self, batch: &[u8]) {
        let length = u64::try_from(batch.len()).unwrap();
        if self.at + length > self.limit {
            if self.grows {
                self.file.set_len(0).unwrap();
            }
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
    let logs = [
        ("append", "log", RawLog::growing(folder.path())),
        ("overwrite", "preallocated_log", RawLog::preallocated(folder.path())),
    ];
    for (way, kind, mut log) in logs {
        for size in [4_096_usize, 16_384, 163_840, 1 << 20] {
            let block = vec![b'x'; size];
            let waits = (0..60).map(|_| {
                let started = Instant::now();
                log.commit(&block);
                started.elapsed().as_secs_f64() * 1e6
            });
            let p50 = median(waits.collect());
            report.row(&format!("limit_{way}_{size}"), None, &[("p50_us", p50)]);
        }
        for (per_commit, commits) in [(1, 200), (10, 100), (100, 40)] {
            let rate = log.rate(per_commit, commits);
            let name = format!("limit_{kind}_{per_commit}");
            report.row(&name, None, &[("messages_per_s", rate)]);
        }
    }
}
