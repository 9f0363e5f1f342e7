//! Counts of the last day, a point each minute, for sparklines. Kept in memory; a start begins anew.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::engine::Engine;

/// Points kept: a day.
const POINTS_MAX: usize = 24 * 60;
/// Time between two points.
const EVERY: Duration = Duration::from_secs(60);

/// What happened in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Point {
    /// When it ended.
    pub at: String,
    /// Messages that came into the log.
    pub received: u64,
    /// Deliveries that reached their receiver.
    pub delivered: u64,
    /// Deliveries that came to stand as dead letters or held, less those that people solved; 0 when
    /// more were solved.
    pub failed: u64,
    /// Deliveries that wait at its end: pending, retrying, held or behind.
    pub backlog: u64,
}

/// Sums at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    received: u64,
    delivered: u64,
    stuck: u64,
    backlog: u64,
}

/// The last points.
#[derive(Debug, Default)]
pub struct History {
    inner: Mutex<(Option<Sums>, VecDeque<Point>)>,
}

impl History {
    fn add(&self, at: String, now: Sums) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, points) = &mut *inner;
        if let Some(before) = last.replace(now) {
            points.push_back(Point {
                at,
                received: now.received.saturating_sub(before.received),
                // A channel that was withdrawn takes its count with it.
                delivered: now.delivered.saturating_sub(before.delivered),
                failed: now.stuck.saturating_sub(before.stuck),
                backlog: now.backlog,
            });
        }
        while points.len() > POINTS_MAX {
            points.pop_front();
        }
    }

    /// The points of the last minutes, the oldest first.
    #[must_use]
    pub fn last(&self, minutes: usize) -> Vec<Point> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = inner.1.len().saturating_sub(minutes);
        inner.1.iter().skip(skip).cloned().collect()
    }
}

/// Notes a point each minute until `stop`.
pub(super) async fn keep_noting(engine: Weak<Engine>, stop: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        let Some(engine) = engine.upgrade() else { return };
        engine.note_history();
    }
}

impl Engine {
    /// Counts of the last day.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Notes where the counts stand now. The engine does it each minute.
    pub fn note_history(&self) {
        let received = self.store.status().head.0;
        let mut sums =
            Sums { received: u64::try_from(received).unwrap_or_default(), ..Sums::default() };
        for (_, _, status) in self.deliveries.statuses() {
            let waits =
                [status.pending, status.in_flight, status.retry, status.held, status.behind];
            sums.delivered = sums.delivered.saturating_add(status.delivered);
            sums.stuck = sums.stuck.saturating_add(status.dead).saturating_add(status.held);
            sums.backlog = waits.iter().fold(sums.backlog, |sum, part| sum.saturating_add(*part));
        }
        self.history.add(self.clock.now().to_string(), sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_what_happened_since_the_one_before() {
        let history = History::default();
        let sums =
            |received, delivered, stuck, backlog| Sums { received, delivered, stuck, backlog };
        history.add("0".to_owned(), sums(100, 50, 1, 7));
        assert!(history.last(60).is_empty());
        history.add("1".to_owned(), sums(110, 58, 3, 9));
        history.add("2".to_owned(), sums(110, 58, 2, 0));
        let point = |at: &str, received, delivered, failed, backlog| Point {
            at: at.to_owned(),
            received,
            delivered,
            failed,
            backlog,
        };
        assert_eq!(history.last(60), [point("1", 10, 8, 2, 9), point("2", 0, 0, 0, 0)]);
        assert_eq!(history.last(1), [point("2", 0, 0, 0, 0)]);
    }
}
