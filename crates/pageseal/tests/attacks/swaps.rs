//! Authentic bytes of another place: of another file, or of another part of this one.

use std::fs;

use pageseal::ErrorClass::{Damaged, Refused};
use pageseal_format::journal::{RING_OFFSET, SLOT_AREA_COPY_OFFSET};

use crate::place::{Decrypt, Encrypt, LEN, Place, Resume, Rollback, Verify};
use crate::support::{Recorder, copy_as_killed, digest, layout, read_at, write_at};

/// The slots of a file that the same person can open: they would give the key of the other file.
#[test]
fn key_slots_of_another_file_open_nothing() {
    let place = Place::new();
    let content = place.make(LEN);
    place.encrypt();
    let sealed = fs::read(place.sealed()).unwrap();
    fs::rename(place.sealed(), place.elsewhere("one")).unwrap();
    place.make(LEN);
    place.encrypt();
    let foreign = read_at(&place.sealed(), layout(LEN).slot_area_offset(0), 24576);
    fs::remove_file(place.sealed()).unwrap();
    fs::write(place.sealed(), &sealed).unwrap();

    for copies in [&[0][..], &[1], &[0, 1]] {
        fs::write(place.sealed(), &sealed).unwrap();
        for copy in copies {
            write_at(&place.sealed(), layout(LEN).slot_area_offset(*copy), &foreign);
        }
        let case = format!("copies {copies:?}");
        place.assert_refused(&place.sealed(), &case, &[(Verify, Damaged), (Decrypt, Damaged)]);
        place.assert_refused(
            &place.sealed(),
            &case,
            &[(Resume, Refused), (Rollback, Refused), (Encrypt, Refused)],
        );
    }
    fs::write(place.sealed(), &sealed).unwrap();
    place.assert_opens(content);
}

/// The slot area copy of a journal.
#[test]
fn key_slots_of_another_files_journal_continue_nothing() {
    let place = Place::new();
    place.make(LEN);
    let foreign = place.encrypt_half();
    place.run(Rollback, &place.file()).unwrap();
    let content = place.make(LEN);
    let own = place.encrypt_half();
    let slots = SLOT_AREA_COPY_OFFSET as usize..SLOT_AREA_COPY_OFFSET as usize + 24576;
    let mut journal = own.clone();
    journal[slots.clone()].copy_from_slice(&foreign[slots]);
    fs::write(place.journal(), &journal).unwrap();
    place.assert_refused(&place.file(), "slots", &[(Resume, Damaged), (Rollback, Damaged)]);
    fs::write(place.journal(), own).unwrap();
    place.run(Rollback, &place.file()).unwrap();
    assert_eq!(digest(&place.file()), content);
}

/// File and journal as a kill leaves them when two windows are in flight.
fn with_windows_in_flight(place: &Place) -> (Vec<u8>, Vec<u8>) {
    let (from, to) = (place.file(), [place.elsewhere("file"), place.elsewhere("journal")]);
    let copies = to.clone();
    let journal = place.journal();
    let recorder = Recorder::at_first_window(move || {
        copy_as_killed([&from, &journal], [&copies[0], &copies[1]], 2);
    });
    let options = pageseal::EncryptOptions { job_key: pageseal::JobKeyMode::None, ..Default::default() };
    let recipients = std::slice::from_ref(&place.keys.recipient);
    pageseal::encrypt_in_place(&place.file(), recipients, &options, &recorder.control()).unwrap();
    fs::remove_file(place.sealed()).unwrap();
    to.map(|path| fs::read(path).unwrap()).into()
}

/// Records are bound to their place in the ring by their sequence.
#[test]
fn swapped_ring_slots_are_refused() {
    let place = Place::new();
    let content = place.make(LEN);
    let (file, own) = with_windows_in_flight(&place);
    let stride = u64::from_le_bytes(own[72..80].try_into().unwrap()) as usize;
    let slot =
        |index: usize| RING_OFFSET as usize + index * stride..RING_OFFSET as usize + (index + 1) * stride;
    fs::write(place.file(), &file).unwrap();
    let holds_a_record = |index: &usize| own[slot(*index)].starts_with(b"PGSLWIND");
    let used: Vec<usize> = (0..usize::from(own[15])).filter(holds_a_record).collect();
    assert!(used.len() >= 2, "{used:?}");
    for (one, other) in [(used[0], used[1]), (used[1], used[0])] {
        let mut swapped = own.clone();
        swapped[slot(one)].copy_from_slice(&own[slot(other)]);
        fs::write(place.journal(), &swapped).unwrap();
        let case = format!("slot {other} over slot {one}");
        place.assert_refused(&place.file(), &case, &[(Resume, Damaged), (Rollback, Damaged)]);
        swapped[slot(other)].copy_from_slice(&own[slot(one)]);
        fs::write(place.journal(), &swapped).unwrap();
        let case = format!("slots {one} and {other} exchanged");
        place.assert_refused(&place.file(), &case, &[(Resume, Damaged), (Rollback, Damaged)]);
    }
    fs::write(place.journal(), own).unwrap();
    place.run(Rollback, &place.file()).unwrap();
    assert_eq!(digest(&place.file()), content);
}

/// The table of another file of the same length, and entries that changed places, with and without their chunks.
#[test]
fn exchanged_tables_and_entries_open_nothing() {
    let place = Place::new();
    place.make(LEN);
    place.encrypt();
    let table = (layout(LEN).table_offset(), layout(LEN).table_len() as usize);
    let foreign = read_at(&place.sealed(), table.0, table.1);
    place.run(Decrypt, &place.sealed()).unwrap();
    let content = place.make(LEN);
    place.encrypt();
    let sealed = fs::read(place.sealed()).unwrap();
    let refused = [(Verify, Damaged), (Decrypt, Damaged)];

    write_at(&place.sealed(), table.0, &foreign);
    place.assert_refused(&place.sealed(), "another file's table", &refused);
    for with_data in [false, true] {
        let mut swapped = sealed.clone();
        exchange(&mut swapped, table.0 as usize + 64, table.0 as usize + 2 * 64, 64);
        if with_data {
            exchange(&mut swapped, 65536, 2 * 65536, 65536);
        }
        fs::write(place.sealed(), &swapped).unwrap();
        place.assert_refused(&place.sealed(), &format!("entries, with their chunks: {with_data}"), &refused);
    }
    fs::write(place.sealed(), &sealed).unwrap();
    place.assert_opens(content);
}

fn exchange(bytes: &mut [u8], one: usize, other: usize, len: usize) {
    let (head, tail) = bytes.split_at_mut(other);
    head[one..one + len].swap_with_slice(&mut tail[..len]);
}
