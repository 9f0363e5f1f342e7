//! Claim, send, settle; lanes, retries, the circuit breaker. One runner per destination.
