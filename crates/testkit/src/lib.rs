//! Test tools: faulty storage, oracles, vectors
