//! No length that stands in a file makes the program allocate what it says. This test is a program of its own, whose allocator
//! counts: an allocation beyond the limit fails, and with it the test. (The fuzz targets run with `-malloc_limit_mb`.)

use std::alloc::System;
use std::fs;
use std::path::Path;

use cap::Cap;
use pageseal_fuzz_bodies::{BODIES, bodies};
use pageseal_testkit::Generator;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What one run may have allocated at a time: tiles, a 1 MiB piece of the search for a lost trailer, the fixtures, and what a
/// test keeps. The smallest length field that was believed would ask for more: values are chosen from 2^32 up.
const LIMIT_BYTES: usize = 64 << 20;

/// Random inputs a body.
const CASES: u64 = 300;

#[test]
fn no_length_field_is_believed() {
    // Makes what is made once.
    BODIES.iter().for_each(|(_, body)| body(&[]));
    ALLOCATOR.set_limit(ALLOCATOR.allocated() + LIMIT_BYTES).expect("what is allocated already fits");
    for (target, body) in BODIES {
        for folder in ["corpus", "findings"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder).join(target);
            let Ok(entries) = fs::read_dir(path) else { continue };
            entries.for_each(|entry| body(&fs::read(entry.unwrap().path()).unwrap()));
        }
    }
    extreme_lengths();
    println!("at most {} bytes were allocated", ALLOCATOR.max_allocated());
}

/// Edits that put an extreme number into a field, with the checksum made right, so that the field is looked at.
fn extreme_lengths() {
    let mut generator = Generator::new(7);
    for case in 0..CASES {
        let mut input = vec![generator.next_u64() as u8, 1 | (generator.next_u64() as u8 & 0x1E)];
        for _ in 0..=case % 2 {
            let at = 8 * generator.below(35) as u16;
            input.extend([7, generator.below(40) as u8]);
            input.extend(at.to_le_bytes());
            input.push(generator.next_u64() as u8);
        }
        bodies::sealed_open(&input);
        bodies::trailer_import(&input);
        bodies::journal_resume(&input);
        // Structures are chosen by the first byte, and its highest bit makes the checksum right.
        input[0] = 0x80 | (case % 2) as u8;
        input.remove(1);
        bodies::trailer_parse(&input);
        // With the key the lengths in records are reached too.
        let mut signed = vec![generator.next_u64() as u8, 1];
        signed.extend(&input[1..]);
        bodies::journal_parse(&signed);
    }
}
