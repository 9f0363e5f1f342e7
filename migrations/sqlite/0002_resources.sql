-- FHIR resources: their versions, what they are found by, and the events of subscriptions.

-- A type with one of its search parameters, by number: `Patient.identifier`. The slot of `_id` also
-- stands for the type itself.
CREATE TABLE resource_slot (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- Resources and their current version. They are found by id through `resource_entry`.
CREATE TABLE resource (
  rid INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,
  id TEXT NOT NULL,
  vid INTEGER NOT NULL,
  version INTEGER NOT NULL,
  gone INTEGER NOT NULL
);
CREATE INDEX resource_kind ON resource (kind, rid);

-- Versions, in the order they were written. `previous` is the resource's version before, 0 for none;
-- `found_by` holds the values to search by. codec as in `body`.
CREATE TABLE resource_version (
  vid INTEGER PRIMARY KEY,
  rid INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  version INTEGER NOT NULL,
  interaction INTEGER NOT NULL,
  at INTEGER NOT NULL,
  seq INTEGER,
  previous INTEGER NOT NULL,
  found_by BLOB NOT NULL,
  codec INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX resource_version_kind ON resource_version (kind, vid);

-- Where to look: a hash, an end of a span, a number or the start of a text. What is found is compared with
-- `found_by` of the current version. Written from memory in sorted stretches.
CREATE TABLE resource_entry (
  slot INTEGER NOT NULL,
  a NOT NULL,
  rid INTEGER NOT NULL,
  PRIMARY KEY (slot, a, rid)
) WITHOUT ROWID;

-- The last event number of each subscription.
CREATE TABLE event_count (subscription INTEGER PRIMARY KEY, last INTEGER NOT NULL);
-- Subscriptions a message is an event of, each with the event's number.
ALTER TABLE message ADD COLUMN events BLOB;

-- Versions up to here stand in `resource_entry`.
INSERT INTO mark (name, value) VALUES ('resources_indexed_to', 0);
