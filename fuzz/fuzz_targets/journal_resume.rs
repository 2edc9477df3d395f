//! See `pageseal_fuzz_bodies::bodies::journal_resume`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pageseal_fuzz_bodies::bodies::journal_resume(data));
