//! Receives, hands to [`intake`], answers the sender. One file per protocol.

pub mod intake;
