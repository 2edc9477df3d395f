//! See `pageseal_fuzz_bodies::bodies::sealed_open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pageseal_fuzz_bodies::bodies::sealed_open(data));
