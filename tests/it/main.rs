//! Integration tests, one binary: each module is one promise of the engine.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod access;
mod admin;
mod channels;
mod cookbook;
mod delivery;
mod destination_fhir;
mod destination_file;
mod destination_mllp;
mod destination_mllp_reverse;
mod destination_resources;
mod destination_webhook;
mod door;
mod examples;
mod fhir_examples;
mod generated;
mod hl7_bad;
mod hl7_corpus;
mod mutation;
mod receiver;
mod resources;
mod round_trip;
mod source_fhir;
mod source_file;
mod source_http;
mod source_mllp;
mod store;
mod subscriptions;
mod tls;
mod to_fhir;
mod views;
