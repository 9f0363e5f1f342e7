//! SQL of resources, each statement with the index it reads; tested with `sqlite/queries.rs`.

/// Begins what may be undone alone.
pub(super) const SAVEPOINT: &str = "SAVEPOINT resources";
/// Undoes it.
pub(super) const UNDO: &str = "ROLLBACK TO resources";
/// Ends it, undone or not.
pub(super) const RELEASE: &str = "RELEASE resources";

// Words.

/// Primary key.
pub(super) const INSERT_SLOT: &str = "INSERT INTO resource_slot (no, name) VALUES (?1, ?2)";

// Writing.

/// Primary keys, their last entries.
pub(super) const LAST_NUMBERS: &str = "SELECT (SELECT coalesce(max(rid), 0) FROM resource),
    (SELECT coalesce(max(vid), 0) FROM resource_version)";
/// Primary keys.
pub(super) const RESOURCE_BY_ID: &str = "SELECT r.rid, r.vid, r.version, r.gone
    FROM resource_entry e CROSS JOIN resource r ON r.rid = e.rid
    WHERE e.slot = ?1 AND e.a = ?2 AND r.kind = ?1 AND r.id = ?3";
/// Primary key.
pub(super) const RESOURCE_BY_RID: &str =
    "SELECT rid, vid, version, gone FROM resource WHERE rid = ?1";
/// Primary key, appended.
pub(super) const INSERT_RESOURCE: &str =
    "INSERT INTO resource (rid, kind, id, vid, version, gone) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
/// Primary key.
pub(super) const UPDATE_RESOURCE: &str =
    "UPDATE resource SET vid = ?2, version = ?3, gone = ?4 WHERE rid = ?1";
/// Primary key, appended.
pub(super) const INSERT_VERSION_OF_RESOURCE: &str = "INSERT INTO resource_version
    (vid, rid, kind, version, interaction, at, seq, previous, found_by, codec, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
/// Primary key.
pub(super) const FOUND_BY: &str = "SELECT found_by FROM resource_version WHERE vid = ?1";
/// Primary keys.
pub(super) const CURRENT_FOUND_BY: &str = "SELECT r.gone, v.found_by FROM resource r
    CROSS JOIN resource_version v ON v.vid = r.vid WHERE r.rid = ?1";
/// Primary key, a range.
pub(super) const RIDS_AT: &str = "SELECT rid FROM resource_entry WHERE slot = ?1 AND a = ?2";
/// `resource_version_kind`, its last entry of a type.
pub(super) const CLOCK_OF_KIND: &str =
    "SELECT coalesce(max(vid), 0) FROM resource_version WHERE kind = ?1";
/// Primary key, its last entry.
pub(super) const CLOCK: &str = "SELECT coalesce(max(vid), 0) FROM resource_version";
/// Primary key.
pub(super) const EVENT_COUNT: &str = "SELECT last FROM event_count WHERE subscription = ?1";
/// Primary key.
pub(super) const UPSERT_EVENT_COUNT: &str =
    "INSERT OR REPLACE INTO event_count (subscription, last) VALUES (?1, ?2)";

// The index.

/// Primary key, in order.
pub(super) const INSERT_ENTRY: &str =
    "INSERT OR IGNORE INTO resource_entry (slot, a, rid) VALUES (?1, ?2, ?3)";
/// Primary key, in order.
pub(super) const INSERT_ENTRIES_8: &str =
    "INSERT OR IGNORE INTO resource_entry (slot, a, rid) VALUES (?1, ?2, ?3), (?4, ?5, ?6),
    (?7, ?8, ?9), (?10, ?11, ?12), (?13, ?14, ?15), (?16, ?17, ?18), (?19, ?20, ?21),
    (?22, ?23, ?24)";
/// Primary key.
pub(super) const DELETE_ENTRY: &str =
    "DELETE FROM resource_entry WHERE slot = ?1 AND a = ?2 AND rid = ?3";
/// Primary key. What the tail of the index is rebuilt from.
pub(super) const VERSIONS_AFTER: &str = "SELECT v.vid, v.rid, v.kind, r.id, v.interaction,
    v.previous, v.found_by FROM resource_version v CROSS JOIN resource r ON r.rid = v.rid
    WHERE v.vid > ?1 ORDER BY v.vid";

// Reading.

/// Primary keys of both, for each number of a JSON list.
pub(super) const VERSIONS: &str =
    "SELECT v.vid, r.id, v.kind, v.version, v.interaction, v.at, v.seq,
    v.codec, v.body FROM json_each(?1) j CROSS JOIN resource_version v ON v.vid = j.value
    CROSS JOIN resource r ON r.rid = v.rid";
/// Primary key, back from version to version.
pub(super) const CHAIN: &str = "WITH RECURSIVE chain (vid, version, at, previous) AS (
    SELECT vid, version, at, previous FROM resource_version WHERE vid = ?1
    UNION ALL SELECT v.vid, v.version, v.at, v.previous FROM chain c
    CROSS JOIN resource_version v ON v.vid = c.previous WHERE c.previous > 0)
    SELECT vid FROM chain WHERE vid < ?2 AND version <= ?3 AND at >= ?4 LIMIT ?5";
/// `resource_version_kind`, a range from its end.
pub(super) const HISTORY_OF_KIND: &str =
    "SELECT vid, at FROM resource_version WHERE kind = ?1 AND vid < ?2 ORDER BY vid DESC LIMIT ?3";
/// Primary key, a range from its end.
pub(super) const HISTORY: &str =
    "SELECT vid, at FROM resource_version WHERE vid < ?1 ORDER BY vid DESC LIMIT ?2";
/// Primary keys: one probe a run, for the numbers between two.
pub(super) const EVENTS: &str = "SELECT k.value, k.seq FROM run r
    CROSS JOIN message_key k ON k.run = r.no AND k.name = ?1 AND k.value BETWEEN ?2 AND ?3
    ORDER BY k.value LIMIT ?4";

// Search. Each answers candidates: the resource, its current version and what that is found by.

/// Primary keys, in order.
pub(super) const CANDIDATES_AT: &str = "SELECT r.rid, r.gone, v.vid, v.found_by
    FROM resource_entry e CROSS JOIN resource r ON r.rid = e.rid
    CROSS JOIN resource_version v ON v.vid = r.vid
    WHERE e.slot = ?1 AND e.a = ?2 AND e.rid > ?3 ORDER BY e.rid LIMIT ?4";
/// Primary keys, for each (slot, place) of a JSON list.
pub(super) const CANDIDATES_AT_ANY: &str = "SELECT r.rid, r.gone, v.vid, v.found_by FROM (
    SELECT DISTINCT e.rid AS rid FROM json_each(?1) j CROSS JOIN resource_entry e
    ON e.slot = json_extract(j.value, '$[0]') AND e.a = json_extract(j.value, '$[1]')
    AND e.rid > ?2 ORDER BY 1 LIMIT ?3) s
    CROSS JOIN resource r ON r.rid = s.rid CROSS JOIN resource_version v ON v.vid = r.vid
    ORDER BY s.rid";
/// Primary keys, a range of each slot of a JSON list.
pub(super) const CANDIDATES_BETWEEN: &str = "SELECT r.rid, r.gone, v.vid, v.found_by FROM (
    SELECT DISTINCT e.rid AS rid FROM json_each(?1) j CROSS JOIN resource_entry e
    ON e.slot = j.value AND e.a BETWEEN ?2 AND ?3 AND e.rid > ?4 ORDER BY 1 LIMIT ?5) s
    CROSS JOIN resource r ON r.rid = s.rid CROSS JOIN resource_version v ON v.vid = r.vid
    ORDER BY s.rid";
/// `resource_kind`, in order.
pub(super) const CANDIDATES_OF_KIND: &str = "SELECT r.rid, r.gone, v.vid, v.found_by
    FROM resource r CROSS JOIN resource_version v ON v.vid = r.vid
    WHERE r.kind = ?1 AND r.rid > ?2 ORDER BY r.rid LIMIT ?3";
/// Primary key, in order.
pub(super) const CANDIDATES: &str = "SELECT r.rid, r.gone, v.vid, v.found_by
    FROM resource r CROSS JOIN resource_version v ON v.vid = r.vid
    WHERE r.rid > ?1 ORDER BY r.rid LIMIT ?2";
/// Primary keys, for each number of a JSON list.
pub(super) const CANDIDATES_NAMED: &str = "SELECT r.rid, r.gone, v.vid, v.found_by
    FROM json_each(?1) j CROSS JOIN resource r ON r.rid = j.value
    CROSS JOIN resource_version v ON v.vid = r.vid";
/// Primary key, for each number of a JSON list.
pub(super) const IDS: &str =
    "SELECT r.id FROM json_each(?1) j CROSS JOIN resource r ON r.rid = j.value";
/// Primary key, for each (slot, place) of a JSON list; counts no further than the limit.
pub(super) const COUNT_AT_ANY: &str = "SELECT count(*) FROM (SELECT 1 FROM json_each(?1) j
    CROSS JOIN resource_entry e ON e.slot = json_extract(j.value, '$[0]')
    AND e.a = json_extract(j.value, '$[1]') LIMIT ?2)";
/// Primary key, a range of each slot of a JSON list; counts no further than the limit.
pub(super) const COUNT_BETWEEN: &str = "SELECT count(*) FROM (SELECT 1 FROM json_each(?1) j
    CROSS JOIN resource_entry e ON e.slot = j.value AND e.a BETWEEN ?2 AND ?3 LIMIT ?4)";
/// Primary key.
pub(super) const FOUND_BY_OF: &str = "SELECT rid, found_by FROM resource_version WHERE vid = ?1";

// Retention.

/// Primary keys of both, a range.
pub(super) const OLD_VERSIONS: &str = "SELECT v.vid, v.at, v.version, r.vid, r.version
    FROM resource_version v CROSS JOIN resource r ON r.rid = v.rid
    WHERE v.vid > ?1 ORDER BY v.vid LIMIT ?2";
/// Primary key.
pub(super) const DELETE_VERSION: &str = "DELETE FROM resource_version WHERE vid = ?1";
