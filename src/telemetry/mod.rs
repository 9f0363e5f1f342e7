//! Names of log fields and metrics, said once; setting up logs and metrics.

pub mod crash;
pub mod metrics;
pub mod setup;
