//! The commands. Data on stdout, notices on stderr.
