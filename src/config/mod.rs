//! Composes the options each module owns; loads files; makes the schema and the reference.
