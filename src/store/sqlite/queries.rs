//! All SQL of the SQLite backend, each statement with the index it reads. `tests` prepares every one
//! and asserts that its plan scans no table but those named in `SCANS`.

/// Takes the write lock at once, so that a batch never fails half way for want of it.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
/// Makes a batch durable.
pub(super) const COMMIT: &str = "COMMIT";
/// Forgets a batch.
pub(super) const ROLLBACK: &str = "ROLLBACK";
/// Copies the write-ahead log into the database, without waiting for anybody.
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Copies all of it, waits for those who still read it, and makes its file empty. Answers 1 first when some
/// did not end in time.
pub(super) const CHECKPOINT_ALL: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

// Words.

/// Start only; a handful of rows.
pub(super) const CHANNELS: &str = "SELECT no, name FROM channel";
/// Primary key.
pub(super) const INSERT_CHANNEL: &str = "INSERT INTO channel (no, name) VALUES (?1, ?2)";
/// Start only; a handful of rows.
pub(super) const KEY_NAMES: &str = "SELECT no, name FROM key_name";
/// Primary key.
pub(super) const INSERT_KEY_NAME: &str = "INSERT INTO key_name (no, name) VALUES (?1, ?2)";
/// Start only; primary key, in order.
pub(super) const PLANS: &str = "SELECT p.no, e.destination, e.version, e.disposition
    FROM plan p LEFT JOIN plan_entry e ON e.plan = p.no ORDER BY p.no, e.position";
/// Primary key.
pub(super) const INSERT_PLAN: &str = "INSERT INTO plan (no, used_to) VALUES (?1, ?2)";
/// Primary key.
pub(super) const USE_PLAN: &str = "UPDATE plan SET used_to = ?2 WHERE no = ?1";
/// `plan_used`.
pub(super) const UNUSED_PLANS: &str = "SELECT no FROM plan WHERE used_to < ?1 LIMIT ?2";
/// Primary key, a range.
pub(super) const DELETE_PLAN_ENTRIES: &str = "DELETE FROM plan_entry WHERE plan = ?1";
/// Primary key.
pub(super) const DELETE_PLAN: &str = "DELETE FROM plan WHERE no = ?1";
/// Primary key.
pub(super) const INSERT_PLAN_ENTRY: &str =
    "INSERT INTO plan_entry (plan, position, destination, version, disposition)
    VALUES (?1, ?2, ?3, ?4, ?5)";

/// Start only; one row a search parameter of FHIR in use.
pub(super) const SLOTS: &str = "SELECT no, name FROM resource_slot";

// Destinations and versions.

/// Unique (channel, name).
pub(super) const FIND_DESTINATION: &str =
    "SELECT no FROM destination WHERE channel = ?1 AND name = ?2";
/// Primary key.
pub(super) const INSERT_DESTINATION: &str =
    "INSERT INTO destination (channel, name) VALUES (?1, ?2) RETURNING no";
/// One row a destination, in the order of the primary key.
pub(super) const DESTINATIONS: &str = "SELECT no, channel, name FROM destination ORDER BY no";
/// Unique (channel, hash).
pub(super) const FIND_VERSION: &str = "SELECT no FROM version WHERE channel = ?1 AND hash = ?2";
/// Primary key.
pub(super) const INSERT_VERSION: &str =
    "INSERT INTO version (channel, hash, bundle, applied_at) VALUES (?1, ?2, ?3, ?4) RETURNING no";
/// Primary key.
pub(super) const VERSION: &str =
    "SELECT channel, hash, bundle, applied_at FROM version WHERE no = ?1";
/// Index of (channel, hash): the versions of one channel are few.
pub(super) const CHANNEL_VERSIONS: &str =
    "SELECT no, hash, applied_at FROM version WHERE channel = ?1 ORDER BY no DESC LIMIT 200";
/// Primary key.
pub(super) const PAUSE: &str = "SELECT paused_by, reason, at FROM pause WHERE destination = ?1";
/// Primary key.
pub(super) const UPSERT_PAUSE: &str =
    "INSERT OR REPLACE INTO pause (destination, paused_by, reason, at) VALUES (?1, ?2, ?3, ?4)";
/// Primary key.
pub(super) const DELETE_PAUSE: &str = "DELETE FROM pause WHERE destination = ?1";

/// Primary key.
pub(super) const BUNDLE: &str = "SELECT seq_first, seq_last FROM bundle WHERE destination = ?1";
/// Primary key.
pub(super) const UPSERT_BUNDLE: &str =
    "INSERT OR REPLACE INTO bundle (destination, seq_first, seq_last) VALUES (?1, ?2, ?3)";
/// Primary key.
pub(super) const NOTES: &str = "SELECT destination, body FROM note ORDER BY destination";
/// Primary key.
pub(super) const UPSERT_NOTE: &str =
    "INSERT OR REPLACE INTO note (destination, body) VALUES (?1, ?2)";

// The log.

/// Primary key.
pub(super) const INSERT_MESSAGE: &str =
    "INSERT INTO message (seq, id, received_at, channel, content_type, kind, event, control, keys,
    plan, lanes, identity, content, origin_parent, origin_by, origin_reason, body_seq, body_size,
    events)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
    ?19)";
/// Primary key. Eight rows.
pub(super) const INSERT_MESSAGES_8: &str =
    "INSERT INTO message (seq, id, received_at, channel, content_type, kind, event, control, keys,
    plan, lanes, identity, content, origin_parent, origin_by, origin_reason, body_seq, body_size,
    events) VALUES
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?),
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?),
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?),
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?),
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?),
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?),
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?),
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// Primary key. Eight rows.
pub(super) const INSERT_BODIES_8: &str = "INSERT INTO body (seq, codec, bytes) VALUES
    (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?), (?, ?, ?)";
/// Primary key.
pub(super) const INSERT_BODY: &str = "INSERT INTO body (seq, codec, bytes) VALUES (?1, ?2, ?3)";
/// Primary keys of both.
pub(super) const BODY_OF: &str = "SELECT m.body_seq, m.body_size, b.codec, b.bytes
    FROM message m JOIN body b ON b.seq = m.body_seq WHERE m.seq = ?1";
/// Primary key.
pub(super) const FIRST_RECEIPT: &str = "SELECT id, received_at FROM message WHERE seq = ?1";
/// Primary key, its last entry.
pub(super) const HEAD: &str = "SELECT coalesce(max(seq), 0) FROM message";
/// Primary key, its first entry.
pub(super) const FIRST: &str = "SELECT coalesce(min(seq), 0) FROM message";
/// Primary key.
pub(super) const MARK: &str = "SELECT value FROM mark WHERE name = ?1";
/// Primary key.
pub(super) const RAISE_MARK: &str = "UPDATE mark SET value = max(value, ?2) WHERE name = ?1";
/// Primary keys of both, a range of the log; plans of a JSON list.
pub(super) const LOG_PAGE: &str = "SELECT m.seq, m.id, m.received_at, m.channel, m.content_type,
    m.kind, m.event, m.control, m.keys, m.plan, m.lanes, m.origin_parent, m.origin_by,
    m.origin_reason, m.events, b.codec, b.bytes
    FROM message m LEFT JOIN body b ON b.seq = m.body_seq
    WHERE m.seq > ?1 AND m.seq <= ?2 AND m.plan IN (SELECT value FROM json_each(?3))
    ORDER BY m.seq LIMIT ?4";
/// Primary keys of both, for each number of a JSON list.
pub(super) const MESSAGES: &str = "SELECT m.seq, m.id, m.received_at, m.channel, m.content_type,
    m.kind, m.event, m.control, m.keys, m.plan, m.lanes, m.origin_parent, m.origin_by,
    m.origin_reason, m.events, b.codec, b.bytes
    FROM json_each(?1) j JOIN message m ON m.seq = j.value LEFT JOIN body b ON b.seq = m.body_seq";
/// Primary key, for each number of a JSON list. Narrow.
pub(super) const ENVELOPES: &str = "SELECT m.seq, m.id, m.received_at, m.channel, m.content_type,
    m.kind, m.event, m.control, m.keys, m.plan, m.lanes, m.origin_parent, m.origin_by,
    m.origin_reason, m.events FROM json_each(?1) j JOIN message m ON m.seq = j.value";
/// Primary key, a range.
pub(super) const COUNT_LOG: &str = "SELECT count(*) FROM message WHERE seq > ?1 AND plan IN
    (SELECT plan FROM plan_entry WHERE destination = ?2 AND disposition > 0)";
/// Primary key, a range.
pub(super) const PLANS_BETWEEN: &str =
    "SELECT seq, plan FROM message WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq";

// Search.

/// Primary key, a range from its end.
pub(super) const SEARCH_RANGE: &str = "SELECT seq FROM message WHERE seq BETWEEN ?1 AND ?2
    AND (?3 IS NULL OR channel = ?3) AND received_at >= ?4 AND received_at < ?5
    ORDER BY seq DESC LIMIT ?6";
/// Primary keys: one probe a run, newest run first, until there is enough.
pub(super) const SEARCH_KEY: &str = "SELECT k.seq FROM run r
    CROSS JOIN message_key k ON k.run = r.no AND k.name = ?1 AND k.value = ?2 AND k.seq < ?3
    CROSS JOIN message m ON m.seq = k.seq
    WHERE r.seq_from < ?3 AND r.received_to >= ?5 AND r.received_from < ?6
    AND (?4 IS NULL OR m.channel = ?4) AND m.received_at >= ?5 AND m.received_at < ?6
    ORDER BY r.no DESC, k.seq DESC LIMIT ?7";
/// Primary key from its end: one row for 4096 messages.
pub(super) const RUNS: &str =
    "SELECT seq_from, seq_to, received_from, received_to, channels FROM run
    WHERE seq_from < ?1 ORDER BY no DESC";
/// Primary key, its last entry.
pub(super) const LAST_RUN: &str = "SELECT no, seq_to FROM run WHERE no = (SELECT max(no) FROM run)";
/// Primary key.
pub(super) const INSERT_RUN: &str =
    "INSERT INTO run (no, seq_from, seq_to, received_from, received_to, channels)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
/// Primary key, appended in order.
pub(super) const INSERT_KEY: &str =
    "INSERT OR IGNORE INTO message_key (run, name, value, seq) VALUES (?1, ?2, ?3, ?4)";
/// Primary key, appended in order.
pub(super) const INSERT_KEYS_8: &str =
    "INSERT OR IGNORE INTO message_key (run, name, value, seq) VALUES (?1, ?2, ?3, ?4),
    (?1, ?5, ?6, ?7), (?1, ?8, ?9, ?10), (?1, ?11, ?12, ?13), (?1, ?14, ?15, ?16),
    (?1, ?17, ?18, ?19), (?1, ?20, ?21, ?22), (?1, ?23, ?24, ?25)";
/// Primary key, a range: what a crash left of an unfinished run.
pub(super) const DELETE_UNFINISHED_RUNS: &str = "DELETE FROM message_key WHERE run > ?1";
/// Primary key, a range. What the tail of the index is rebuilt from.
pub(super) const KEYS_AFTER: &str = "SELECT seq, id, received_at, channel, control, keys, events FROM message WHERE seq > ?1 ORDER BY seq";
/// Primary key, a range from its end. What the memory of repeats is rebuilt from.
pub(super) const IDENTITIES_BEFORE: &str = "SELECT seq, identity, content FROM message
    WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2";
/// Primary key.
pub(super) const IDENTITY: &str = "SELECT identity, content FROM message WHERE seq = ?1";

// Outcomes.

/// Primary key, its last entry of a page.
pub(super) const LAST_BLOCK: &str = "SELECT coalesce(max(n), 0) FROM settled WHERE page = ?1";
/// Primary key, appended.
pub(super) const INSERT_BLOCK: &str = "INSERT INTO settled (page, n, block) VALUES (?1, ?2, ?3)";
/// Primary key, a range.
pub(super) const BLOCKS: &str =
    "SELECT page, block FROM settled WHERE page BETWEEN ?1 AND ?2 ORDER BY page, n";
/// Primary key, a range: one row a destination. `blocks::Position` reads it.
pub(super) const CURSORS: &str = "SELECT n, block FROM settled WHERE page = 9223372036854775807";
/// Primary key.
pub(super) const CURSOR: &str =
    "SELECT block FROM settled WHERE page = 9223372036854775807 AND n = ?1";
/// Primary key.
pub(super) const UPSERT_CURSOR: &str =
    "INSERT OR REPLACE INTO settled (page, n, block) VALUES (9223372036854775807, ?1, ?2)";
/// Primary key.
pub(super) const UPSERT_EXCEPTION: &str = "INSERT OR REPLACE INTO exception
    (destination, seq, lane, joins, state, attempts, since, due, cause, code, text, further)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
/// Primary key.
pub(super) const DELETE_EXCEPTION: &str =
    "DELETE FROM exception WHERE destination = ?1 AND seq = ?2";
/// Primary key, its first entry of a destination.
pub(super) const HAS_EXCEPTIONS: &str = "SELECT d.no FROM destination d WHERE EXISTS (SELECT 1 FROM exception e WHERE e.destination = d.no)";
/// Primary key.
pub(super) const INSERT_ATTEMPT: &str = "INSERT INTO attempt
    (seq, destination, number, at, duration_us, outcome, code, text, sent_hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
/// `attempt_delivery`.
pub(super) const TRIM_ATTEMPTS: &str =
    "DELETE FROM attempt WHERE seq = ?1 AND destination = ?2 AND number BETWEEN ?3 AND ?4";
/// `attempt_delivery`.
pub(super) const ATTEMPTS: &str =
    "SELECT destination, number, at, duration_us, outcome, code, text,
    sent_hash FROM attempt WHERE seq = ?1 ORDER BY destination, no";
/// Primary key.
pub(super) const EXCEPTION: &str = "SELECT destination, seq, lane, joins, state, attempts, since,
    due, cause, code, text, further FROM exception WHERE destination = ?1 AND seq = ?2";
/// Primary key, a range.
pub(super) const EXCEPTED_AFTER: &str =
    "SELECT seq FROM exception WHERE destination = ?1 AND seq > ?2 ORDER BY seq";
/// `exception_blocked`, which covers it, and `exception_joins`.
pub(super) const BLOCKED: &str = "SELECT lane, count(*) FROM exception
    WHERE destination = ?1 AND state IN (1, 2, 3) GROUP BY lane
    UNION ALL SELECT joins, count(*) FROM exception
    WHERE destination = ?1 AND joins IS NOT NULL AND state IN (1, 2, 3) GROUP BY joins";
/// `exception_further`.
pub(super) const BLOCKED_FURTHER: &str =
    "SELECT seq, further FROM exception INDEXED BY exception_further
    WHERE destination = ?1 AND further IS NOT NULL AND state IN (1, 2, 3)";
/// Primary key, a range.
pub(super) const EXCEPTIONS: &str = "SELECT destination, seq, lane, joins, state, attempts, since,
    due, cause, code, text, further FROM exception WHERE (destination, seq) > (?1, ?2)
    AND (?3 IS NULL OR lane = ?3 OR joins = ?3 OR further IS NOT NULL) AND (?4 IS NULL OR (state = 1 AND due <= ?4))
    ORDER BY destination, seq LIMIT ?5";
/// Primary key, a range of one destination.
pub(super) const EXCEPTIONS_OF: &str =
    "SELECT destination, seq, lane, joins, state, attempts, since,
    due, cause, code, text, further FROM exception WHERE destination = ?1 AND seq > ?2
    ORDER BY seq LIMIT ?3";
/// `exception_state`, a range.
pub(super) const EXCEPTIONS_IN: &str =
    "SELECT destination, seq, lane, joins, state, attempts, since,
    due, cause, code, text, further FROM exception WHERE state = ?1 AND (destination, seq) > (?2, ?3)
    AND (?4 IS NULL OR lane = ?4 OR joins = ?4 OR further IS NOT NULL) AND (?5 IS NULL OR (state = 1 AND due <= ?5))
    ORDER BY destination, seq LIMIT ?6";
/// `exception_state`, a range of one destination.
pub(super) const EXCEPTIONS_OF_IN: &str = "SELECT destination, seq, lane, joins, state, attempts,
    since, due, cause, code, text, further FROM exception WHERE state = ?1 AND destination = ?2 AND seq > ?3
    ORDER BY seq LIMIT ?4";
/// `exception_lane`, `exception_joins` and `exception_further`; the last for lanes beyond a row's second, which are
/// looked through afterwards.
pub(super) const EXCEPTIONS_OF_LANE: &str = "SELECT destination, seq, lane, joins, state, attempts,
    since, due, cause, code, text, further FROM exception WHERE destination = ?1 AND seq IN (
    SELECT seq FROM exception INDEXED BY exception_lane WHERE destination = ?1 AND lane = ?3 AND seq > ?2
    UNION SELECT seq FROM exception INDEXED BY exception_joins WHERE destination = ?1 AND joins = ?3 AND seq > ?2
    UNION SELECT seq FROM exception INDEXED BY exception_further
    WHERE destination = ?1 AND further IS NOT NULL AND seq > ?2)
    AND (?4 IS NULL OR state = ?4)
    AND (?5 IS NULL OR (state = 1 AND due <= ?5)) ORDER BY seq LIMIT ?6";
/// `exception_due`.
pub(super) const EXCEPTIONS_OF_DUE: &str = "SELECT destination, seq, lane, joins, state, attempts,
    since, due, cause, code, text, further FROM exception WHERE destination = ?1 AND state = 1 AND due <= ?2
    AND seq > ?3 AND (?4 IS NULL OR state = ?4) ORDER BY seq LIMIT ?5";
/// Primary key, a range of each destination.
pub(super) const EXCEPTIONS_BETWEEN: &str =
    "SELECT e.destination, e.seq, e.state FROM destination d
    CROSS JOIN exception e ON e.destination = d.no WHERE e.seq BETWEEN ?1 AND ?2";

// Refused input.

/// Primary key.
pub(super) const INSERT_REJECT: &str = "INSERT INTO reject (at, channel, peer, reason, payload) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING no";
/// Primary key, a range from its start.
pub(super) const TRIM_REJECTS: &str = "DELETE FROM reject WHERE no <= ?1";
/// Primary key from its end.
pub(super) const REJECTS: &str = "SELECT no, at, channel, peer, reason, payload FROM reject WHERE no < ?1 ORDER BY no DESC LIMIT ?2";

// Retention.

/// `reject_at`.
pub(super) const PRUNE_REJECTS: &str =
    "DELETE FROM reject WHERE no IN (SELECT no FROM reject WHERE at < ?1 LIMIT ?2)";
/// Primary keys of both, a range.
pub(super) const BODIES_AFTER: &str = "SELECT b.seq, m.received_at, m.plan, m.channel FROM body b
    LEFT JOIN message m ON m.seq = b.seq WHERE b.seq > ?1 ORDER BY b.seq LIMIT ?2";
/// `message_shared`, a range.
pub(super) const SHARERS: &str = "SELECT body_seq, seq, received_at, plan, channel FROM message
    WHERE body_seq BETWEEN ?1 AND ?2 AND body_seq <> seq";
/// Primary key.
pub(super) const DELETE_BODY: &str = "DELETE FROM body WHERE seq = ?1";
/// Primary key; `message_shared`.
pub(super) const DELETE_UNSHARED_BODY: &str = "DELETE FROM body WHERE seq = ?1
    AND NOT EXISTS (SELECT 1 FROM message WHERE body_seq = ?1 AND body_seq <> seq)";
/// Primary key, a range.
pub(super) const OLDEST: &str =
    "SELECT seq, received_at, plan, channel FROM message WHERE seq > ?1 ORDER BY seq LIMIT ?2";
/// Primary key.
pub(super) const DELETE_MESSAGE: &str = "DELETE FROM message WHERE seq = ?1";
/// `attempt_delivery`.
pub(super) const DELETE_ATTEMPTS: &str = "DELETE FROM attempt WHERE seq = ?1";
/// Primary key. Behind the pages stand the cursors.
pub(super) const PAGE_AFTER: &str =
    "SELECT min(page) FROM settled WHERE page > ?1 AND page < 9223372036854775807";
/// Primary key.
pub(super) const ANY_BETWEEN: &str =
    "SELECT EXISTS (SELECT 1 FROM message WHERE seq BETWEEN ?1 AND ?2)";
/// Primary key.
pub(super) const DELETE_PAGE: &str = "DELETE FROM settled WHERE page = ?1";
/// Primary key.
pub(super) const RUN_AFTER: &str =
    "SELECT no, seq_from, seq_to FROM run WHERE no > ?1 ORDER BY no LIMIT 1";
/// Primary key.
pub(super) const RUN_NAME: &str = "SELECT min(name) FROM message_key WHERE run = ?1";
/// Primary key, a range.
pub(super) const DELETE_KEYS: &str = "DELETE FROM message_key WHERE run = ?1 AND name = ?2";
/// Primary key.
pub(super) const DELETE_RUN: &str = "DELETE FROM run WHERE no = ?1";

// Opening.

/// Which SQLite this binary carries.
pub(super) const SQLITE_VERSION: &str = "SELECT sqlite_version()";
/// Whether the migrations ever ran here.
pub(super) const HAS_SCHEMA: &str =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";
/// The newest migration that ran here.
pub(super) const SCHEMA_VERSION: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// Statements that read a whole table on purpose, with what they scan: a row a destination, a word,
    /// a plan, a run; or a list handed in.
    const SCANS: &[(&str, &str)] = &[
        ("CHANNELS", "SCAN channel"),
        ("KEY_NAMES", "SCAN key_name"),
        ("PLANS", "SCAN p"),
        ("DESTINATIONS", "SCAN destination"),
        ("NOTES", "SCAN note"),
        ("CURSORS", "SCAN cursor"),
        ("HAS_EXCEPTIONS", "SCAN d"),
        ("EXCEPTIONS_BETWEEN", "SCAN d"),
        ("LOG_PAGE", "SCAN json_each VIRTUAL TABLE"),
        ("MESSAGES", "SCAN j VIRTUAL TABLE"),
        ("ENVELOPES", "SCAN j VIRTUAL TABLE"),
        ("SEARCH_KEY", "SCAN r"),
        ("RUNS", "SCAN run"),
        ("HAS_SCHEMA", "SCAN sqlite_schema"),
        ("SLOTS", "SCAN resource_slot"),
        ("VERSIONS", "SCAN j VIRTUAL TABLE"),
        ("CHAIN", "SCAN c"),
        ("EVENTS", "SCAN r"),
        ("CANDIDATES_AT_ANY", "SCAN"),
        ("CANDIDATES_BETWEEN", "SCAN"),
        ("CANDIDATES_NAMED", "SCAN j VIRTUAL TABLE"),
        ("IDS", "SCAN j VIRTUAL TABLE"),
        ("COUNT_AT_ANY", "SCAN"),
        ("COUNT_BETWEEN", "SCAN"),
    ];

    /// Every statement of this file, by the name of its constant.
    fn statements() -> BTreeMap<String, String> {
        let own = include_str!("queries.rs").split("#[cfg(test)]").next().unwrap();
        let of_resources = include_str!("resources/queries.rs");
        let constants = |source: &'static str| source.split("pub(super) const ").skip(1);
        constants(own)
            .chain(constants(of_resources))
            .map(|constant| {
                let (name, rest) = constant.split_once(": &str").unwrap();
                let text = rest.split('"').nth(1).unwrap();
                (name.to_owned(), text.to_owned())
            })
            .collect()
    }

    #[tokio::test]
    async fn every_statement_reads_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("medway.db");
        drop(super::super::open::writer(&path).unwrap());
        super::super::open::migrate(&path).await.unwrap();
        let conn = super::super::open::writer(&path).unwrap();
        let statements = statements();
        assert!(statements.len() > 110, "{} statements found", statements.len());
        for (name, sql) in statements {
            if !["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.starts_with(verb)) {
                continue;
            }
            let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            for place in 1..=plan.parameter_count() {
                plan.raw_bind_parameter(place, 1).unwrap();
            }
            let mut rows = plan.raw_query();
            while let Some(row) = rows.next().unwrap() {
                let step: String = row.get(3).unwrap();
                let allowed = SCANS.iter().any(|(of, scan)| *of == name && step.starts_with(scan));
                let reads = step.contains("CONSTANT ROW") || step.contains("VALUES CLAUSE");
                assert!(!step.starts_with("SCAN") || allowed || reads, "{name}: {step}\n{sql}");
            }
        }
    }
}
