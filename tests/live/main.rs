//! Trials of the real binary, from outside: killed, starved, lied to, and talked to by strangers. Nothing
//! here uses the engine's code to judge the engine, but for its store in `restart`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

mod canary;
mod cli;
mod corpus;
mod crash;
mod demo;
mod disk;
mod engine;
mod faults;
mod fhir_clients;
mod hostile;
mod https;
mod journal;
mod malformed;
mod manifest;
mod memory;
mod messages;
mod peers;
mod replies;
mod restart;
mod strangers;
mod subscriptions;
