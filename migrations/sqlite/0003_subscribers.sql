-- What the engine keeps about a destination in its own words: how calls to a subscriber went.
CREATE TABLE note (destination INTEGER PRIMARY KEY, body BLOB NOT NULL);

-- Deliveries that go out in one call: from the first to the last. Written before the call, so that a
-- repeat after a crash holds the same.
CREATE TABLE bundle (
  destination INTEGER PRIMARY KEY,
  seq_first INTEGER NOT NULL,
  seq_last INTEGER NOT NULL
);
