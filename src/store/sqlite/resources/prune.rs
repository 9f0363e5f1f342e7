//! Retention of versions: superseded ones go when they are old or too many. A current version never goes,
//! nor one that the index in memory may still need.

use rusqlite::{Connection, params};

use crate::message::time::Timestamp;
use crate::store::Retention;
use crate::store::sqlite::resources::queries;
use crate::telemetry::crash;

/// Stretches looked at in one step when nothing in them may go.
const STRETCHES_MAX: u32 = 16;

/// Where the pass over the versions stands. It starts over at the end.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct ResourcePruner {
    to: i64,
}

/// A version and its resource as it stands.
struct Version {
    vid: i64,
    at: i64,
    version: i64,
    current: i64,
    newest: i64,
}

impl ResourcePruner {
    /// One step. `indexed_to` is how far the index in the table goes.
    pub(in crate::store::sqlite) fn step(
        &mut self,
        conn: &Connection,
        indexed_to: i64,
        retention: &Retention,
        now: Timestamp,
    ) -> rusqlite::Result<u64> {
        let age = i64::try_from(retention.versions.as_micros()).unwrap_or(i64::MAX);
        let before = now.0.saturating_sub(age);
        let most = i64::from(retention.versions_max.max(1));
        for _ in 0..STRETCHES_MAX {
            let mut query = conn.prepare_cached(queries::OLD_VERSIONS)?;
            let versions: Vec<Version> = query
                .query_map(params![self.to, retention.step.max(1)], |row| {
                    Ok(Version {
                        vid: row.get(0)?,
                        at: row.get(1)?,
                        version: row.get(2)?,
                        current: row.get(3)?,
                        newest: row.get(4)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            if versions.is_empty() {
                self.to = 0;
                return Ok(0);
            }
            let mut touched = 0;
            for one in &versions {
                self.to = one.vid;
                let superseded = one.vid < one.current && one.current <= indexed_to;
                if superseded && (one.at < before || one.newest - one.version >= most) {
                    conn.prepare_cached(queries::DELETE_VERSION)?.execute([one.vid])?;
                    crash::point("store_mid_prune");
                    touched += 1;
                }
            }
            if touched > 0 {
                return Ok(touched);
            }
        }
        Ok(0)
    }
}
