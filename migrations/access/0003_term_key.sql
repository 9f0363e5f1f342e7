-- The key that terms of searches are hashed with before they go on record. Drawn once, since a term is found again
-- under the same key alone.
CREATE TABLE term_key (
  no INTEGER PRIMARY KEY CHECK (no = 1),
  key BLOB NOT NULL
);
