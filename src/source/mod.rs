//! Receives, hands to [`intake`], answers the sender. One file per protocol.

mod batch;
mod body;
pub mod budget;
pub mod fhir;
pub mod file;
mod gate;
pub mod http;
pub mod intake;
pub mod listener;
pub mod mllp;
pub mod resource;
mod response;
pub mod status;
mod talk;
