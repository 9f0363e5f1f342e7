//! The names of all metrics. Labels are channel and destination names and fixed words; never message content.

/// Counter `{version}`, always 1: which build runs.
pub const BUILD_INFO: &str = "medway_build_info";
/// Gauge: the last place in the log.
pub const STORE_HEAD: &str = "medway_store_head";
/// Gauge: size of the database and its write-ahead log, in bytes.
pub const STORE_SIZE_BYTES: &str = "medway_store_size_bytes";
/// Gauge: free bytes under the data directory. Below `limits.disk_free` nothing new is taken.
pub const DISK_FREE_BYTES: &str = "medway_disk_free_bytes";
/// Counter `{channel}`: messages stored, repeats not counted.
pub const MESSAGES_RECEIVED: &str = "medway_messages_received_total";
/// Counter `{channel}`: messages recognised as repeats and answered again, not stored again.
pub const MESSAGES_REPEATED: &str = "medway_messages_repeated_total";
/// Gauge: how far back repeats are known, in seconds, once `limits.duplicates` is reached.
pub const REPEATS_MEMORY_SECONDS: &str = "medway_repeats_memory_seconds";
/// Counter `{channel}`: messages taken as new although the channel's `within` reaches further back than repeats
/// are known: raise `limits.duplicates`.
pub const REPEATS_UNSURE: &str = "medway_repeats_unsure_total";
/// Counter `{channel, reason}`: messages and frames not taken. Reasons: `content`, `unavailable`,
/// `too_large`, `nested_start`, `no_header`, `ack`, `sender`, `batch`, `unauthorized`, `media_type`,
/// `incomplete`.
pub const MESSAGES_REFUSED: &str = "medway_messages_refused_total";
/// Gauge `{channel}`: connections a source has open.
pub const SOURCE_CONNECTIONS: &str = "medway_source_connections";
/// Counter `{channel, reason}`: connections refused or closed by a limit. Reasons: `network`,
/// `connections`, `peer_connections`, `replaced`, `tls`, `certificate`, `protocol`, `garbage`, `timeout`,
/// `memory`.
pub const SOURCE_CONNECTIONS_REFUSED: &str = "medway_source_connections_refused_total";
/// Gauge: bytes that the connections of all listeners hold, beyond 64 KiB each. At most
/// `limits.connection_bytes` and one message.
pub const CONNECTION_BYTES: &str = "medway_connection_bytes";
/// Counter `{channel}`: times that a connection was not read because all of `limits.connection_bytes` was held.
pub const READING_PAUSED: &str = "medway_reading_paused_total";
/// Counter `{channel}`: bytes that stood outside of frames.
pub const GARBAGE_BYTES: &str = "medway_garbage_bytes_total";
/// Histogram `{channel}`: from a message's last byte to its answer.
pub const ACK_SECONDS: &str = "medway_ack_duration_seconds";
/// Histogram: one transaction of the store, from `BEGIN` to the return of its `COMMIT`.
pub const STORE_COMMIT_SECONDS: &str = "medway_store_commit_duration_seconds";
/// Counter: transactions the store committed.
pub const STORE_COMMITS: &str = "medway_store_commits_total";
/// Histogram: messages that shared one commit.
pub const STORE_COMMIT_MESSAGES: &str = "medway_store_commit_messages";
/// Gauge: bytes that wait for the disk.
pub const STORE_WAITING_BYTES: &str = "medway_store_waiting_bytes";
/// Counter `{channel, destination, outcome}`: attempts to deliver. Outcomes: `accepted`, `failed`,
/// `rejected`, `uncertain`, `render`, `poison`.
pub const DELIVERY_ATTEMPTS: &str = "medway_delivery_attempts_total";
/// Counter `{channel, destination}`: crashes of a destination's delivery, each followed by a new start
/// from what the store says. Above 0 is a fault of the engine.
pub const DELIVERY_CRASHES: &str = "medway_delivery_crashes_total";
/// Counter `{channel}`: crashes of a channel's source, after each of which it is opened again. Above 0 is a
/// fault of the engine.
pub const SOURCE_CRASHES: &str = "medway_source_crashes_total";
/// Gauge `{channel, destination, state}`: deliveries that are not done. States: `pending`,
/// `in_flight`, `retry`, `held`, `behind`, `dead`.
pub const QUEUE_MESSAGES: &str = "medway_queue_messages";
/// Gauge `{channel, destination}`: how long the oldest that is pending or in retry has waited.
pub const QUEUE_OLDEST_SECONDS: &str = "medway_queue_oldest_seconds";
/// Histogram `{channel, destination}`: from the first byte sent to the answer.
pub const DELIVERY_SECONDS: &str = "medway_delivery_duration_seconds";
/// Gauge `{channel, destination}`: connections a destination has open.
pub const DESTINATION_CONNECTIONS: &str = "medway_destination_connections";
/// Counter `{channel, destination, reason}`: connections of receivers that connect to us which were
/// refused. Reasons: `network`, `tls`.
pub const DESTINATION_CONNECTIONS_REFUSED: &str = "medway_destination_connections_refused_total";
/// Counter `{channel, destination}`: answers that belonged to no waiting message (late, doubled, with
/// another id) and were not credited to any.
pub const STRAY_ANSWERS: &str = "medway_stray_answers_total";
/// Subscriptions whose status the engine changed, by the new status.
pub const SUBSCRIPTION_CHANGES: &str = "medway_subscription_changes_total";
