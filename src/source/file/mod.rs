//! Files of a directory: taken when they are complete, moved away after the commit.

pub mod options;
