//! Counts of the last day, a point each minute, for sparklines: over all, and for each group of channels.
//! They are kept in memory and in a file of the data directory, so that a start goes on with them.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use utoipa::ToSchema;

use crate::engine::Engine;
use crate::message::time::Timestamp;

/// Points kept: a day.
const POINTS_MAX: usize = 24 * 60;
/// Time between two points.
const EVERY: Duration = Duration::from_secs(60);
/// How far back a start looks.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Lines added to the file until it is written anew with the last day's.
const LINES_MAX: usize = POINTS_MAX;

/// What happened in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Point {
    /// When it ended.
    pub at: String,
    /// Messages that came into the log; to who is limited to groups: at their channels' sources.
    pub received: u64,
    /// Deliveries that reached their receiver.
    pub delivered: u64,
    /// Deliveries that came to stand as dead letters or held, less those that people solved; 0 when
    /// more were solved.
    pub failed: u64,
    /// Deliveries that wait at its end: pending, retrying, held or behind.
    pub backlog: u64,
}

/// Sums at one moment, or what came between two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sums {
    received: u64,
    delivered: u64,
    stuck: u64,
    backlog: u64,
}

impl Sums {
    /// What came since `before`. What was withdrawn takes its count with it.
    fn since(self, before: Self) -> Self {
        Self {
            received: self.received.saturating_sub(before.received),
            delivered: self.delivered.saturating_sub(before.delivered),
            stuck: self.stuck.saturating_sub(before.stuck),
            backlog: self.backlog,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            received: self.received.saturating_add(other.received),
            delivered: self.delivered.saturating_add(other.delivered),
            stuck: self.stuck.saturating_add(other.stuck),
            backlog: self.backlog.saturating_add(other.backlog),
        }
    }
}

/// Sums over all and of each group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    all: Sums,
    groups: BTreeMap<String, Sums>,
}

impl Counts {
    fn since(&self, before: &Self) -> Self {
        let then = |group: &str| before.groups.get(group).copied().unwrap_or_default();
        let groups = self.groups.iter().map(|(group, now)| (group.clone(), now.since(then(group))));
        Self { all: self.all.since(before.all), groups: groups.collect() }
    }

    fn of(&self, groups: &[String]) -> Sums {
        if groups.is_empty() {
            return self.all;
        }
        let own = groups.iter().filter_map(|group| self.groups.get(group));
        own.fold(Sums::default(), |sum, one| sum.and(*one))
    }
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// Microseconds since 1970.
    at: i64,
    counts: Counts,
}

/// The last points.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    before: Option<Counts>,
    lines: VecDeque<Line>,
    /// Lines added to the file since it was written whole.
    added: usize,
}

impl History {
    /// The history in the data directory. One that cannot be read begins anew: it is no truth.
    #[must_use]
    pub fn open(data: &Path, now: Timestamp) -> Self {
        let path = data.join("history.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // A line cut off by a crash says nothing.
        let read = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let mut lines: VecDeque<Line> = read
            .filter(|line| line.at <= now.0 && now.since(Timestamp(line.at)) < KEPT_FOR)
            .collect();
        while lines.len() > POINTS_MAX {
            lines.pop_front();
        }
        let added = LINES_MAX;
        Self { path, inner: Mutex::new(Inner { before: None, lines, added }) }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes sums; answers what is to be written to the file, and whether that is all of it.
    fn add(&self, at: Timestamp, now: Counts) -> Option<(String, bool)> {
        let mut inner = self.inner();
        let line = inner.before.as_ref().map(|before| Line { at: at.0, counts: now.since(before) });
        inner.before = Some(now);
        let line = line?;
        let text = text_of([&line]);
        inner.lines.push_back(line);
        while inner.lines.len() > POINTS_MAX {
            inner.lines.pop_front();
        }
        inner.added = inner.added.saturating_add(1);
        if inner.added <= LINES_MAX {
            return Some((text, false));
        }
        inner.added = 0;
        Some((text_of(&inner.lines), true))
    }

    /// The points of the last minutes, the oldest first: over all, or of these groups of channels.
    #[must_use]
    pub fn last(&self, minutes: usize, groups: &[String]) -> Vec<Point> {
        let inner = self.inner();
        let skip = inner.lines.len().saturating_sub(minutes);
        let point = |line: &Line| {
            let Sums { received, delivered, stuck, backlog } = line.counts.of(groups);
            Point {
                at: Timestamp(line.at).to_string(),
                received,
                delivered,
                failed: stuck,
                backlog,
            }
        };
        inner.lines.iter().skip(skip).map(point).collect()
    }
}

fn text_of<'l>(lines: impl IntoIterator<Item = &'l Line>) -> String {
    let lines = lines.into_iter().filter_map(|line| serde_json::to_string(line).ok());
    lines.map(|line| line + "\n").collect()
}

/// Adds to a file, or replaces it.
fn write(path: &Path, text: &str, whole: bool) -> std::io::Result<()> {
    if whole {
        let draft = path.with_extension("new");
        std::fs::write(&draft, text)?;
        return std::fs::rename(&draft, path);
    }
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Notes a point each minute until `stop`, and a last one then.
pub(super) async fn keep_noting(engine: Weak<Engine>, stop: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            _ = every.tick() => false,
        };
        let Some(engine) = engine.upgrade() else { return };
        engine.note_history().await;
        if stopped {
            return;
        }
    }
}

impl Engine {
    /// Counts of the last day.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Where the counts stand now.
    fn counts(&self) -> Counts {
        let received = u64::try_from(self.store.status().head.0).unwrap_or_default();
        let mut counts = Counts::default();
        for (id, _, status) in self.deliveries.statuses() {
            let waits =
                [status.pending, status.in_flight, status.retry, status.held, status.behind];
            let own = Sums {
                received: 0,
                delivered: status.delivered,
                stuck: status.dead.saturating_add(status.held),
                backlog: waits.iter().fold(0, |sum: u64, part| sum.saturating_add(*part)),
            };
            counts.all = counts.all.and(own);
            let name = self.destination_name(id);
            let channel = name.split_once('/').map_or("", |(channel, _)| channel);
            self.count(&mut counts, channel, own);
        }
        for live in self.registry.channels().iter() {
            let name = &*live.channel.name;
            let taken =
                self.sources(name).iter().filter_map(|one| one.get("received")?.as_u64()).sum();
            self.count(&mut counts, name, Sums { received: taken, ..Sums::default() });
        }
        counts.all.received = received;
        counts
    }

    fn count(&self, counts: &mut Counts, channel: &str, own: Sums) {
        let Some(group) = self.group_of(channel) else { return };
        let sums = counts.groups.entry(group).or_default();
        *sums = sums.and(own);
    }

    /// Notes where the counts stand now. The engine does it each minute.
    pub async fn note_history(&self) {
        let Some((text, whole)) = self.history.add(self.clock.now(), self.counts()) else { return };
        let path = self.history.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&path, &text, whole)).await;
        if let Ok(Err(error)) = written {
            warn!(%error, "the counts of the last minute could not be noted in the data directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(received: u64, delivered: u64, stuck: u64, backlog: u64) -> Counts {
        let all = Sums { received, delivered, stuck, backlog };
        let ward = Sums { delivered: delivered / 2, ..Sums::default() };
        Counts { all, groups: [("ward".to_owned(), ward)].into() }
    }

    #[test]
    fn a_point_is_what_happened_since_the_one_before_and_a_start_goes_on_with_it() {
        let data = tempfile::tempdir().unwrap();
        let minute = |n: i64| Timestamp(n * 60_000_000);
        let note = |history: &History, n: i64, now: Counts| {
            if let Some((text, whole)) = history.add(minute(n), now) {
                write(&history.path, &text, whole).unwrap();
            }
        };
        let history = History::open(data.path(), minute(0));
        note(&history, 0, counts(100, 50, 1, 7));
        assert!(history.last(60, &[]).is_empty());
        note(&history, 1, counts(110, 58, 3, 9));
        note(&history, 2, counts(110, 58, 2, 0));
        let point = |n: i64, received, delivered, failed, backlog| Point {
            at: minute(n).to_string(),
            received,
            delivered,
            failed,
            backlog,
        };
        let both = [point(1, 10, 8, 2, 9), point(2, 0, 0, 0, 0)];
        assert_eq!(history.last(60, &[]), both);
        assert_eq!(history.last(1, &[]), [point(2, 0, 0, 0, 0)]);
        let ward = ["ward".to_owned(), "nobody's".to_owned()];
        assert_eq!(history.last(60, &ward)[0], point(1, 0, 4, 0, 0));

        std::fs::OpenOptions::new()
            .append(true)
            .open(&history.path)
            .unwrap()
            .write_all(b"{\"at\": 12")
            .unwrap();
        let again = History::open(data.path(), minute(3));
        assert_eq!(again.last(60, &[]), both);
        note(&again, 3, counts(5, 5, 0, 0));
        note(&again, 4, counts(9, 5, 0, 0));
        assert_eq!(again.last(60, &[]).len(), 3, "the first sums after a start are a beginning");
        let later = History::open(data.path(), minute(24 * 60 + 2));
        assert_eq!(later.last(5000, &[]), [point(4, 4, 0, 0, 0)], "a day is kept");
    }
}
