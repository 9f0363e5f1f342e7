//! Names of log fields and metrics, said once; setting up logs.
