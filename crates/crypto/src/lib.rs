//! Suites, key derivation, fingerprints and chunk rebuilding: no files, no threads
