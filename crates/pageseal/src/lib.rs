//! Encrypts huge files in place: authenticated, on all cores, safe against SIGKILL and power loss
