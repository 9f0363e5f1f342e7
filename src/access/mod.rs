//! Who may do what: roles, passwords, sessions, API tokens, and the trail of what was done.
//!
//! ```text
//! request ─→ cookie or bearer ─→ Door ─→ Actor (name, permissions, view, groups) ─→ route's permission
//!                                                                     └─→ audit, before the answer
//! ```
//! A password is never kept, a token only as its hash. Nobody has every right once the engine is set up:
//! who administers the system, who administers people, and who reads the trail are different roles.

pub mod door;
pub mod password;
pub mod proof;
pub mod role;
pub mod token;
pub mod totp;
pub mod verify;
