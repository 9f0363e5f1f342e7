//! TLS options and their loading: certificates, private keys, roots, client authentication.
