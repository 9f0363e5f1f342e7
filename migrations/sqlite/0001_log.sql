-- The log, what became of each message, and the words both are written in.
-- Times are microseconds since 1970, UTC. Hashes and lanes are unsigned 64 bit numbers kept as signed.

-- Words that repeat in every message, kept once.
CREATE TABLE channel (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE key_name (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
-- 0 is the message's public id, which no key of a channel can name.
INSERT INTO key_name (no, name) VALUES (0, ''), (1, 'control');

CREATE TABLE destination (
  no INTEGER PRIMARY KEY,
  channel TEXT NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (channel, name)
);

CREATE TABLE version (
  no INTEGER PRIMARY KEY,
  channel TEXT NOT NULL,
  hash TEXT NOT NULL,
  bundle BLOB NOT NULL,
  applied_at INTEGER NOT NULL,
  UNIQUE (channel, hash)
);

-- A destination stopped by an operator.
CREATE TABLE pause (
  destination INTEGER PRIMARY KEY,
  paused_by TEXT NOT NULL,
  reason TEXT NOT NULL,
  at INTEGER NOT NULL
);

-- A plan without its lanes. Few exist, so messages name one by number.
CREATE TABLE plan (no INTEGER PRIMARY KEY);
-- disposition: 0 filtered, 1 deliver, 2 hold, 3 deliver and join a second lane.
CREATE TABLE plan_entry (
  plan INTEGER NOT NULL,
  position INTEGER NOT NULL,
  destination INTEGER NOT NULL,
  version INTEGER NOT NULL,
  disposition INTEGER NOT NULL,
  PRIMARY KEY (plan, position)
) WITHOUT ROWID;
CREATE INDEX plan_entry_destination ON plan_entry (destination, disposition);

-- The narrow part of the log: a scan does not touch the bodies.
CREATE TABLE message (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  received_at INTEGER NOT NULL,
  channel INTEGER NOT NULL,
  content_type INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  event TEXT NOT NULL,
  control TEXT NOT NULL,
  keys BLOB NOT NULL,
  plan INTEGER NOT NULL,
  lanes BLOB NOT NULL,
  identity INTEGER,
  content INTEGER,
  origin_parent INTEGER,
  origin_by TEXT,
  origin_reason TEXT,
  body_seq INTEGER NOT NULL,
  body_size INTEGER NOT NULL
);
-- Replays, which share the body of another message.
CREATE INDEX message_shared ON message (body_seq) WHERE body_seq <> seq;

-- codec: 0 as received, 1 LZ4 with its size before it.
CREATE TABLE body (seq INTEGER PRIMARY KEY, codec INTEGER NOT NULL, bytes BLOB NOT NULL);

-- The search index, written in sorted runs of some thousand messages, so that its pages fill in order.
CREATE TABLE run (
  no INTEGER PRIMARY KEY,
  seq_from INTEGER NOT NULL,
  seq_to INTEGER NOT NULL,
  received_from INTEGER NOT NULL,
  received_to INTEGER NOT NULL,
  channels BLOB NOT NULL
);
CREATE TABLE message_key (
  run INTEGER NOT NULL,
  name INTEGER NOT NULL,
  value BLOB NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (run, name, value, seq)
) WITHOUT ROWID;

-- Deliveries that succeeded, many a row: one block for each commit and each page of 4096 messages.
CREATE TABLE settled (
  page INTEGER NOT NULL,
  n INTEGER NOT NULL,
  block BLOB NOT NULL,
  PRIMARY KEY (page, n)
) WITHOUT ROWID;

CREATE TABLE cursor (
  destination INTEGER PRIMARY KEY,
  settled_to INTEGER NOT NULL,
  frontier INTEGER NOT NULL
);

-- Deliveries that left the straight path. state: 1 retry, 2 held, 3 behind, 4 dead, 5 cancelled.
CREATE TABLE exception (
  destination INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  joins INTEGER,
  state INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  since INTEGER NOT NULL,
  due INTEGER NOT NULL,
  cause TEXT NOT NULL,
  code TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (destination, seq)
) WITHOUT ROWID;
CREATE INDEX exception_due ON exception (destination, due) WHERE state = 1;
CREATE INDEX exception_lane ON exception (destination, lane, seq);
CREATE INDEX exception_joins ON exception (destination, joins, seq) WHERE joins IS NOT NULL;
CREATE INDEX exception_blocked ON exception (destination, lane) WHERE state IN (1, 2, 3);
CREATE INDEX exception_state ON exception (state, destination, seq);

-- Attempts that did not succeed, and what people did.
CREATE TABLE attempt (
  no INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  destination INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  duration_us INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  code TEXT NOT NULL,
  text TEXT NOT NULL,
  sent_hash INTEGER NOT NULL
);
CREATE INDEX attempt_delivery ON attempt (seq, destination, number);

-- Refused input, kept as evidence.
CREATE TABLE reject (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  channel TEXT NOT NULL,
  peer TEXT NOT NULL,
  reason TEXT NOT NULL,
  payload BLOB NOT NULL
);
CREATE INDEX reject_at ON reject (at);

-- Numbers that must outlive the rows they were taken from.
CREATE TABLE mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO mark (name, value) VALUES ('pruned_to', 0);
