//! The store on SQLite: one file, one committer, full durability.
