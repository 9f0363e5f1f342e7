-- Answers given to calls with an Idempotency-Key, for a day. One without a status is being answered, or was
-- when the engine stopped.
CREATE TABLE answer (
  key BLOB PRIMARY KEY,
  request BLOB NOT NULL,
  at INTEGER NOT NULL,
  status INTEGER,
  content_type TEXT,
  body BLOB
) WITHOUT ROWID;
CREATE INDEX answer_at ON answer (at);

-- What people called by a name to see it again: a page and what it shows, as it stands in the page's address.
CREATE TABLE saved_view (
  no INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  page TEXT NOT NULL,
  query TEXT NOT NULL,
  shared INTEGER NOT NULL,
  groups TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  UNIQUE (owner, name)
);
