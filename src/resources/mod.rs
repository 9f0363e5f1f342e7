//! FHIR writes, whoever asks for them: a REST client, an entry of a transaction, or a channel that
//! turned an HL7 v2 message into resources.
//!
//! Optimistic: [`plan::Planner`] looks at the store and prepares whole versions with what they expect to
//! find; the store checks that in the transaction that writes. On a lost race the caller plans anew.

pub mod condition;
pub mod fault;
pub mod lens;
pub mod links;
pub mod plan;
pub mod transaction;
