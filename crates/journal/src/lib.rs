//! Phases, window records, the ring and the decisions of a replay
