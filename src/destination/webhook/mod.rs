//! One HTTP POST for each message, signed after the Standard Webhooks specification.

pub mod options;

pub use options::WebhookOptions;
