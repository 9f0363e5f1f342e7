-- Who may use the engine, and what they did. A file of its own: its rows are few and precious, and the
-- message log's retention never touches it. Times are microseconds since 1970, UTC.
CREATE TABLE user (
  no INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  display TEXT NOT NULL,
  password TEXT,
  roles TEXT NOT NULL,
  groups TEXT NOT NULL,
  view TEXT NOT NULL,
  totp BLOB,
  totp_step INTEGER NOT NULL DEFAULT 0,
  subject TEXT UNIQUE,
  disabled INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0,
  locked_until INTEGER NOT NULL DEFAULT 0
);

-- A session's token is kept as its hash alone.
CREATE TABLE session (
  hash BLOB PRIMARY KEY,
  user INTEGER NOT NULL REFERENCES user (no),
  created_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  ends_at INTEGER NOT NULL,
  address TEXT NOT NULL,
  broken_until INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX session_user ON session (user);
CREATE INDEX session_ends ON session (ends_at);

CREATE TABLE token (
  no INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  hash BLOB NOT NULL UNIQUE,
  roles TEXT NOT NULL,
  groups TEXT NOT NULL,
  view TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ends_at INTEGER NOT NULL,
  revoked INTEGER NOT NULL DEFAULT 0
);

-- The audit trail: only ever added to. Each record's hash covers the one before it.
CREATE TABLE audit (
  no INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  address TEXT NOT NULL,
  action TEXT NOT NULL,
  outcome TEXT NOT NULL,
  object TEXT NOT NULL,
  reason TEXT NOT NULL,
  previous BLOB NOT NULL,
  hash BLOB NOT NULL
);
CREATE INDEX audit_actor ON audit (actor, no);
CREATE INDEX audit_action ON audit (action, no);
CREATE INDEX audit_object ON audit (object, no);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END;
