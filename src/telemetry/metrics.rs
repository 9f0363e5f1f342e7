//! The names of all metrics. Labels are channel and destination names and fixed words; never message content.

/// Counter `{version}`, always 1: which build runs.
pub const BUILD_INFO: &str = "medway_build_info";
/// Counter `{channel}`: messages stored, repeats not counted.
pub const MESSAGES_RECEIVED: &str = "medway_messages_received_total";
