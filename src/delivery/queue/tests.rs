//! The rules of the queue, one by one.
