//! E02.. and E03..: the channel language: paths, expressions, tables, steps, tests.

use crate::yaml::codes::Explanation;

pub(super) const CODES: &[Explanation] = &[];
