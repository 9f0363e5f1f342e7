-- How far each destination came stands in `settled` from now on, behind all blocks: page is the largest number there
-- is, n the destination, block two numbers of eight bytes, settled_to and frontier. A commit that writes a block and
-- cursors writes one page of the database thereby, and not two.
INSERT INTO settled (page, n, block)
  SELECT 9223372036854775807, destination, unhex(printf('%016x%016x', settled_to, frontier)) FROM cursor;
DROP TABLE cursor;
