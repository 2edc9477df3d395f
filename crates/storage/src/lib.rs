//! Files as the engine sees them: mapped, buffered and in memory; the only unsafe code
