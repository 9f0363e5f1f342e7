//! E04..: files that do not fit together.

use crate::yaml::codes::Explanation;

pub(super) const CODES: &[Explanation] = &[];
