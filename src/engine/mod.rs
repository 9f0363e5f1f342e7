//! Builds channels from config; starts, supervises, reloads and stops them.
