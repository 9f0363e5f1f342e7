-- The lanes a delivery joins beyond the second: a merge of several patients in one message.
ALTER TABLE exception ADD COLUMN further BLOB;

-- No message after this place has the plan, or the number is raised with its message. Plans of messages that
-- retention took are found by it.
ALTER TABLE plan ADD COLUMN used_to INTEGER NOT NULL DEFAULT 0;
UPDATE plan SET used_to = (SELECT coalesce(max(seq), 0) FROM message);
CREATE INDEX plan_used ON plan (used_to);
