//! See `pageseal_fuzz_bodies::bodies::trailer_import`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pageseal_fuzz_bodies::bodies::trailer_import(data));
