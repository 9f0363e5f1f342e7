-- Rows with more than two lanes: few, and found by any of their lanes.
CREATE INDEX exception_further ON exception (destination, seq) WHERE further IS NOT NULL;
