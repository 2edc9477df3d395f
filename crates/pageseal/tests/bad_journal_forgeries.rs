//! A journal of a job that died with windows in flight, with single bits flipped all over it. Whatever `resume` then does, it
//! never makes a wrong file: it refuses and changes nothing, or the content comes out right.

#[macro_use]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use pageseal::{
    Control, DecryptOptions, EncryptOptions, ErrorClass, Identities, IoChoice, JobError, JobKeyMode,
    ResilienceChoice, ResumeOptions, decrypt_in_place, encrypt_in_place, resume, rollback,
};
use pageseal_format::journal::{
    HEADER_LEN, KEY_AREA_OFFSET, PHASE_OFFSETS, RING_OFFSET, SLOT_AREA_COPY_OFFSET, SUPERBLOCK_COPY_OFFSET,
};
use support::{
    Generator, Keys, Recorder, WINDOW, copy_as_killed, digest, fix_checksum, folder, write_content,
};

/// Windows 1 to 3. In the image the first two are being stored and not settled; the third waits for room in the ring.
const LEN: u64 = 3 * WINDOW - 30_000;

/// A file and its journal as a kill leaves them.
struct Image {
    folder: support::Folder,
    _elsewhere: support::Folder,
    identities: Identities,
    file: PathBuf,
    journal: PathBuf,
    file_bytes: Vec<u8>,
    journal_bytes: Vec<u8>,
    content: [u8; 32],
    stride: u64,
}

impl Image {
    /// Copies both when the first window has reached the disk and no later one can be settled.
    fn of_encrypt(io: IoChoice, resilience: ResilienceChoice) -> Self {
        let (folder, elsewhere) = (folder(), folder());
        let keys = Keys::new(elsewhere.path());
        let original = elsewhere.path().join("file");
        let content = write_content(&original, LEN, 21);
        let (file, journal) = (folder.path().join("file"), folder.path().join("file.pageseal-journal"));
        let (to_file, to_journal, from) = (file.clone(), journal.clone(), original.clone());
        let recorder = Recorder::at_first_window(move || {
            let from_journal = from.with_file_name("file.pageseal-journal");
            copy_as_killed([&from, &from_journal], [&to_file, &to_journal], 2);
        });
        let options =
            EncryptOptions { io, resilience, job_key: JobKeyMode::Disk, ..EncryptOptions::default() };
        let recipients = std::slice::from_ref(&keys.recipient);
        encrypt_in_place(&original, recipients, &options, &recorder.control()).unwrap();
        let (file_bytes, journal_bytes) = (fs::read(&file).unwrap(), fs::read(&journal).unwrap());
        let stride = u64::from_le_bytes(journal_bytes[72..80].try_into().unwrap());
        let identities = keys.identities();
        Image {
            folder,
            _elsewhere: elsewhere,
            identities,
            file,
            journal,
            file_bytes,
            journal_bytes,
            content,
            stride,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn reset(&self) {
        for entry in fs::read_dir(self.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        fs::write(&self.file, &self.file_bytes).unwrap();
        fs::write(&self.journal, &self.journal_bytes).unwrap();
    }

    /// Offset of the record of window `sequence`, and its length.
    fn record(&self, sequence: u64) -> (u64, u64) {
        let slots = u64::from(self.journal_bytes[15]);
        let offset = RING_OFFSET + self.stride * (sequence % slots);
        let at = offset as usize;
        assert_eq!(&self.journal_bytes[at..at + 8], b"PGSLWIND", "window {sequence} has a record");
        let field = |skip: usize| {
            u64::from(u32::from_le_bytes(self.journal_bytes[at + skip..at + skip + 4].try_into().unwrap()))
        };
        (offset, 128 + 128 * field(36) + 16 * field(64) + 64)
    }

    /// With `journal` in place of the image's journal. The original file must come out, or nothing may happen.
    /// Returns whether it went on.
    fn try_journal(&self, journal: &[u8], backward: bool, case: &str) -> bool {
        fs::write(&self.journal, journal).unwrap();
        let call = if backward { rollback } else { resume };
        let options = ResumeOptions { threads: Some(2), ..ResumeOptions::default() };
        match call(&self.file, &self.identities, &options, &Control::silent()) {
            Err(error) => {
                let class = error.class();
                assert!(
                    matches!(class, ErrorClass::Damaged | ErrorClass::Refused | ErrorClass::NoKey),
                    "{case}: {error:?}"
                );
                assert!(!matches!(error, JobError::Interrupted { .. }), "{case}: {error:?}");
                assert!(fs::read(&self.file).unwrap() == self.file_bytes, "{case}: the file was changed");
                assert!(fs::read(&self.journal).unwrap() == journal, "{case}: the journal was changed");
                assert_eq!(support::names_in(self.path()), ["file", "file.pageseal-journal"], "{case}");
                false
            }
            Ok(report) => {
                if !backward {
                    let sealed = report.path.unwrap();
                    let options = DecryptOptions { verify_first: false, ..DecryptOptions::default() };
                    decrypt_in_place(&sealed, &self.identities, &options, &Control::silent())
                        .unwrap_or_else(|error| panic!("{case}: {error:?}"));
                }
                assert_eq!(digest(&self.file), self.content, "{case}: wrong content");
                self.reset();
                true
            }
        }
    }

    /// Flips one bit at every `step`-th byte of `[start, start + len)`, with the checksum of the block around it
    /// left alone or made right. Returns how many were tried and how many of them were gone on with.
    fn flip_all(&self, (start, len): (u64, u64), step: u64, checksum: bool) -> (u32, u32) {
        let (mut tried, mut accepted) = (0, 0);
        let mut generator = Generator::new(start + step);
        let end = start + len - if checksum { 32 } else { 0 };
        for at in (start..end).step_by(step as usize) {
            let mut journal = self.journal_bytes.clone();
            journal[at as usize] ^= 1 << generator.below(8);
            if checksum {
                fix_checksum(&mut journal[start as usize..(start + len) as usize]);
            }
            let case = format!("byte {at} (block at {start}), checksum made right: {checksum}");
            tried += 1;
            accepted += u32::from(self.try_journal(&journal, tried % 2 == 0, &case));
        }
        (tried, accepted)
    }
}

#[test]
fn the_image_itself_goes_both_ways() {
    for (io, resilience) in
        [(IoChoice::Buffered, ResilienceChoice::Checksum), (IoChoice::Mmap, ResilienceChoice::Journal)]
    {
        let image = Image::of_encrypt(io, resilience);
        image.reset();
        for backward in [false, true] {
            assert!(image.try_journal(&image.journal_bytes, backward, "untouched"), "{io:?} {backward}");
        }
    }
}

#[test]
fn flips_in_header_and_copies_are_refused() {
    let image = Image::of_encrypt(IoChoice::Auto, ResilienceChoice::Checksum);
    image.reset();
    let blocks = [
        ("header", (0, HEADER_LEN as u64), 64),
        ("superblock copy", (SUPERBLOCK_COPY_OFFSET, 4096), 64),
        ("slot area copy", (SLOT_AREA_COPY_OFFSET, 24576), 512),
    ];
    for (name, block, step) in blocks {
        for checksum in [false, true] {
            let (tried, accepted) = image.flip_all(block, step, checksum);
            assert!(tried > 40, "{name}: {tried}");
            // The header's device and inode are advice, but authenticated advice.
            assert_eq!(accepted, 0, "{name}, checksum made right: {checksum}");
        }
    }
}

#[test]
fn flips_in_the_header_fields_are_refused() {
    let image = Image::of_encrypt(IoChoice::Auto, ResilienceChoice::Checksum);
    image.reset();
    for checksum in [false, true] {
        for at in 0..132_u64 {
            let mut journal = image.journal_bytes.clone();
            journal[at as usize] ^= 1 << (at % 8);
            if checksum {
                fix_checksum(&mut journal[..HEADER_LEN]);
            }
            let accepted = image.try_journal(&journal, at % 2 == 0, &format!("header byte {at}, {checksum}"));
            assert!(!accepted, "header byte {at}, {checksum}");
        }
    }
}

#[test]
fn flips_in_the_key_area_never_give_a_wrong_key() {
    let image = Image::of_encrypt(IoChoice::Auto, ResilienceChoice::Checksum);
    image.reset();
    for at in (0..112).step_by(3).chain((112..4096).step_by(64)) {
        let mut journal = image.journal_bytes.clone();
        journal[KEY_AREA_OFFSET as usize + at] ^= 0x20;
        // Either refused as malformed, or the identity opens it without the job key.
        image.try_journal(&journal, at % 2 == 0, &format!("key area byte {at}"));
    }
}

#[test]
fn flips_in_the_phase_blocks_are_refused() {
    let image = Image::of_encrypt(IoChoice::Auto, ResilienceChoice::Checksum);
    image.reset();
    let sequence = |offset: u64| {
        u64::from_le_bytes(image.journal_bytes[offset as usize + 8..offset as usize + 16].try_into().unwrap())
    };
    let newest = PHASE_OFFSETS.into_iter().max_by_key(|offset| sequence(*offset)).unwrap();
    for offset in PHASE_OFFSETS {
        let (tried, accepted) = image.flip_all((offset, 4096), 64, true);
        // A block without its magic is none; and the older one is not needed.
        assert_eq!((tried, accepted), (64, u32::from(offset != newest)), "phase block at {offset}");
        // A damaged block is a torn one: the other one counts, and here it is too old for the file.
        let (tried, accepted) = image.flip_all((offset, 4096), 512, false);
        assert_eq!(accepted, if offset == newest { 0 } else { tried }, "phase block at {offset}");
    }
    // Every field, and phase FINISHED above all: it is the one that is believed without a key.
    for at in 0..56 {
        let mut journal = image.journal_bytes.clone();
        journal[newest as usize + at] ^= 1 << (at % 8);
        fix_checksum(&mut journal[newest as usize..newest as usize + 4096]);
        assert!(!image.try_journal(&journal, at % 2 == 0, &format!("phase byte {at}")), "phase byte {at}");
    }
    for (phase, direction) in
        [(1, 0), (2, 0), (3, 1), (4, 0), (4, 1), (5, 0), (5, 1), (6, 0), (6, 1), (7, 0), (0, 0)]
    {
        for backward in [false, true] {
            let mut journal = image.journal_bytes.clone();
            journal[newest as usize + 32] = phase;
            journal[newest as usize + 33] = direction;
            fix_checksum(&mut journal[newest as usize..newest as usize + 4096]);
            let case = format!("phase {phase}, direction {direction}");
            assert!(!image.try_journal(&journal, backward, &case), "{case}");
        }
    }
}

#[test]
fn flips_in_a_record_that_a_later_one_follows_are_refused() {
    let image = Image::of_encrypt(IoChoice::Auto, ResilienceChoice::Checksum);
    image.reset();
    for checksum in [false, true] {
        let (tried, accepted) = image.flip_all(image.record(1), 256, checksum);
        assert!(tried > 90);
        assert_eq!(accepted, 0, "checksum made right: {checksum}: a missing record was passed over");
    }
}

#[test]
fn flips_in_the_newest_record_with_a_right_checksum_are_refused() {
    let image = Image::of_encrypt(IoChoice::Auto, ResilienceChoice::Checksum);
    image.reset();
    let (offset, len) = image.record(2);
    // Those in the record's head, which says how long it is, are in the next test.
    for at in (offset + 128..offset + len - 32).step_by(256) {
        let mut journal = image.journal_bytes.clone();
        journal[at as usize] ^= 1 << (at / 256 % 8);
        fix_checksum(&mut journal[offset as usize..(offset + len) as usize]);
        assert!(!image.try_journal(&journal, at / 256 % 2 == 0, &format!("byte {at}")), "byte {at}");
    }
}

#[test]
fn damage_to_the_newest_record_does_not_make_a_wrong_file() {
    let image = Image::of_encrypt(IoChoice::Auto, ResilienceChoice::Checksum);
    image.reset();
    let (offset, len) = image.record(2);
    for at in (0..128).step_by(4).chain((128..len).step_by(2048)) {
        for backward in [false, true] {
            let mut journal = image.journal_bytes.clone();
            journal[(offset + at) as usize] ^= 1;
            image.try_journal(&journal, backward, &format!("byte {at} of the record, backward: {backward}"));
        }
    }
}

#[test]
fn flips_in_the_logged_windows_do_not_make_a_wrong_file() {
    let image = Image::of_encrypt(IoChoice::Buffered, ResilienceChoice::Journal);
    image.reset();
    for window in 1..=2 {
        let (offset, len) = image.record(window);
        let payload = offset + len.next_multiple_of(4096);
        for at in [payload, payload + 4096 * 3 + 17, payload + WINDOW / 2] {
            let mut journal = image.journal_bytes.clone();
            journal[at as usize] ^= 4;
            // What is in the file may be rebuilt without the log; or else it is refused.
            image.try_journal(&journal, at % 2 == 0, &format!("payload byte {at} of window {window}"));
        }
    }
}
