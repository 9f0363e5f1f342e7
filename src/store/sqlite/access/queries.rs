//! The SQL of users, sessions, tokens and the audit trail.

/// Fields of a user, in the order `user_of` reads them.
macro_rules! user_fields {
    () => {
        "user.no, user.name, user.display, user.password, user.roles, user.groups, user.view, \
         user.totp, user.totp_step, user.subject, user.disabled, user.created_at, user.failures, \
         user.locked_until"
    };
}

pub(super) const USERS: &str = concat!("SELECT ", user_fields!(), " FROM user ORDER BY name");
pub(super) const USER: &str = concat!("SELECT ", user_fields!(), " FROM user WHERE name = ?1");
pub(super) const ADD_USER: &str = "INSERT OR IGNORE INTO user (name, display, password, roles, \
    groups, view, totp, totp_step, subject, disabled, failures, locked_until, created_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
pub(super) const ADD_FIRST_USER: &str = "INSERT INTO user (name, display, password, roles, \
    groups, view, totp, totp_step, subject, disabled, failures, locked_until, created_at) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 \
    WHERE NOT EXISTS (SELECT 1 FROM user)";
pub(super) const PUT_USER: &str = "UPDATE user SET display = ?2, password = ?3, roles = ?4, \
    groups = ?5, view = ?6, totp = ?7, totp_step = ?8, subject = ?9, disabled = ?10, \
    failures = ?11, locked_until = ?12 WHERE name = ?1";
/// What is shifted by more than ten would lock for years.
pub(super) const USER_FAILED: &str = "UPDATE user SET failures = min(failures + 1, 1000000), \
    locked_until = CASE WHEN failures + 1 >= ?3 \
        THEN ?2 + (?4 << min(failures + 1 - ?3, 10)) ELSE locked_until END \
    WHERE name = ?1 AND locked_until <= ?2";
pub(super) const USER_SIGNED_IN: &str =
    "UPDATE user SET failures = 0, locked_until = 0, totp_step = ?2 WHERE name = ?1";

pub(super) const ADD_SESSION: &str = "INSERT INTO session (hash, user, created_at, seen_at, \
    ends_at, address, broken_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const SESSION: &str = concat!(
    "SELECT ",
    user_fields!(),
    ", session.hash, session.user, session.created_at, session.seen_at, session.ends_at, \
     session.address, session.broken_until FROM session JOIN user ON user.no = session.user \
     WHERE session.hash = ?1"
);
pub(super) const TOUCH_SESSION: &str =
    "UPDATE session SET seen_at = ?2, broken_until = ?3 WHERE hash = ?1";
pub(super) const END_SESSION: &str = "DELETE FROM session WHERE hash = ?1";
pub(super) const END_SESSIONS: &str =
    "DELETE FROM session WHERE user = ?1 AND (?2 IS NULL OR hash <> ?2)";
pub(super) const FORGET_SESSIONS: &str = "DELETE FROM session WHERE ends_at < ?1";

pub(super) const TOKENS: &str = "SELECT no, name, hash, roles, groups, view, created_by, \
    created_at, ends_at, revoked FROM token ORDER BY name";
pub(super) const TOKEN: &str = "SELECT no, name, hash, roles, groups, view, created_by, \
    created_at, ends_at, revoked FROM token WHERE hash = ?1";
pub(super) const ADD_TOKEN: &str = "INSERT OR IGNORE INTO token (name, hash, roles, groups, \
    view, created_by, created_at, ends_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(super) const REVOKE_TOKEN: &str =
    "UPDATE token SET revoked = 1 WHERE name = ?1 AND revoked = 0";

pub(super) const LAST_AUDIT: &str = "SELECT no, hash FROM audit ORDER BY no DESC LIMIT 1";
pub(super) const ADD_AUDIT: &str = "INSERT INTO audit (no, at, actor, address, action, outcome, \
    object, reason, previous, hash) ";
/// Records one statement writes at most.
pub(super) const AUDIT_ROWS: usize = 32;
/// Records, newest first, by the one condition that an index answers; the others are looked at row by row.
macro_rules! audit_by {
    ($by:literal) => {
        concat!(
            "SELECT no, at, actor, address, action, outcome, object, reason, previous, hash \
             FROM audit WHERE no < ?1 AND ",
            $by,
            " AND (?2 IS NULL OR actor = ?2) \
             AND (?3 IS NULL OR action = ?3 OR (?4 AND substr(action, 1, length(?3)) = ?3)) \
             AND (?5 IS NULL OR object = ?5) AND (?6 IS NULL OR at >= ?6) \
             AND (?7 IS NULL OR at < ?7) ORDER BY no DESC LIMIT ?8"
        )
    };
}

/// By number alone.
pub(super) const AUDIT: &str = audit_by!("1");
/// Index `audit_actor`.
pub(super) const AUDIT_BY_ACTOR: &str = audit_by!("actor = ?2");
/// Index `audit_action`.
pub(super) const AUDIT_BY_ACTION: &str = audit_by!("action = ?3");
/// Index `audit_object`.
pub(super) const AUDIT_BY_OBJECT: &str = audit_by!("object = ?5");
pub(super) const AUDIT_FROM: &str = "SELECT no, at, actor, address, action, outcome, object, \
    reason, previous, hash FROM audit WHERE no >= ?1 ORDER BY no LIMIT ?2";

pub(super) const ADD_TERM_KEY: &str = "INSERT OR IGNORE INTO term_key (no, key) VALUES (1, ?1)";
pub(super) const TERM_KEY: &str = "SELECT key FROM term_key WHERE no = 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_by_an_index() {
        let database = rusqlite::Connection::open_in_memory().unwrap();
        database
            .execute_batch(include_str!("../../../../migrations/access/0001_access.sql"))
            .unwrap();
        let plan = |query: &str| -> String {
            let mut asked = database.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let values: [Option<i64>; 8] = [Some(9); 8];
            let rows =
                asked.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap();
            rows.collect::<Result<Vec<String>, _>>().unwrap().join("; ")
        };
        for (query, index) in [
            (AUDIT, "INTEGER PRIMARY KEY (rowid<?)"),
            (AUDIT_BY_ACTOR, "INDEX audit_actor (actor=? AND no<?)"),
            (AUDIT_BY_ACTION, "INDEX audit_action (action=? AND no<?)"),
            (AUDIT_BY_OBJECT, "INDEX audit_object (object=? AND no<?)"),
        ] {
            let plan = plan(query);
            assert!(plan.contains(index), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
