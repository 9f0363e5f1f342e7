//! One runner per destination: lanes, retry, breaker, limits, holds. A failing delivery stops its
//! lane and no other; a destination that nobody gets through to stops alone.

pub mod breaker;
pub mod cursor;
pub mod limit;
pub mod options;
pub mod policy;
pub mod retry;
