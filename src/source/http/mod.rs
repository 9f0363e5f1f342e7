//! Messages by HTTP POST: 2xx only after the commit.

pub mod options;
