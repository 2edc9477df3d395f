//! The bytes of sealed files and journals: structs, geometry and limits, no I/O and no keys
