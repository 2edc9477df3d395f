//! Trailers of another file or another time, and what export and import of a trailer refuse and repair.

#[macro_use]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use pageseal::{
    Control, Damage, DecryptOptions, EncryptOptions, Identities, JobError, OpenError, Refusal,
    decrypt_in_place, encrypt_in_place, export_trailer, import_trailer, verify,
};
use support::{Keys, digest, flip, folder, layout, read_at, sealed_file, set_len, write_at, write_content};

const LEN: u64 = 5 * 65536 + 123;

struct Place {
    folder: support::Folder,
    elsewhere: support::Folder,
    keys: Keys,
    identities: Identities,
}

impl Place {
    fn new() -> Self {
        let (folder, elsewhere) = (folder(), folder());
        let keys = Keys::new(elsewhere.path());
        let identities = keys.identities();
        Place { folder, elsewhere, keys, identities }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn sealed(&self, name: &str) -> (PathBuf, [u8; 32]) {
        sealed_file(self.path(), &self.keys, name, LEN)
    }

    fn export(&self, sealed: &Path, name: &str) -> PathBuf {
        let trailer = self.elsewhere.path().join(name);
        let written = export_trailer(sealed, &trailer).unwrap();
        assert_eq!(written, fs::metadata(&trailer).unwrap().len());
        trailer
    }

    fn import(&self, sealed: &Path, trailer: &Path) -> Result<u64, JobError> {
        import_trailer(sealed, trailer, &self.identities, &Control::silent())
    }

    fn verify(&self, sealed: &Path) -> Result<pageseal::VerifyReport, OpenError> {
        verify(sealed, &self.identities, Some(2), &Control::silent())
    }

    fn decrypt(&self, sealed: &Path) -> Result<pageseal::JobReport, JobError> {
        decrypt_in_place(sealed, &self.identities, &DecryptOptions::default(), &Control::silent())
    }

    fn encrypt(&self, plain: &Path) {
        let recipients = std::slice::from_ref(&self.keys.recipient);
        encrypt_in_place(plain, recipients, &EncryptOptions::default(), &Control::silent()).unwrap();
    }
}

#[test]
fn the_trailer_of_another_file_opens_nothing() {
    let place = Place::new();
    let (one, _) = place.sealed("one");
    let (other, _) = place.sealed("other");
    let start = layout(LEN).trailer_offset();
    let trailer = read_at(&one, start, (layout(LEN).sealed_len() - start) as usize);
    write_at(&other, start, &trailer);
    let error = place.verify(&other).unwrap_err();
    let OpenError::Damaged { damage: Damage::Chunks { count: 6, ranges, ranges_left_out: 0 }, .. } = &error
    else {
        panic!("{error:?}");
    };
    let ranges: Vec<_> = ranges.iter().map(|range| (range.first_chunk, range.chunks)).collect();
    assert_eq!(ranges, [(0, 6)]);
    assert_refused!(
        place.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { .. }),
        place.decrypt(&other),
        "decrypt"
    );
    // Only the table of another file.
    let (third, _) = place.sealed("third");
    let table = read_at(&one, layout(LEN).table_offset(), 6 * 64);
    write_at(&third, layout(LEN).table_offset(), &table);
    assert_refused!(
        place.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { damage: Damage::Chunks { count: 6, .. }, .. }),
        place.decrypt(&third),
        "table of another file"
    );
}

#[test]
fn chunks_that_changed_places_are_found() {
    let place = Place::new();
    let (sealed, _) = place.sealed("file");
    let table = layout(LEN).table_offset();
    let swap = |offset: u64, distance: u64, len: usize| {
        let (one, two) = (read_at(&sealed, offset, len), read_at(&sealed, offset + distance, len));
        write_at(&sealed, offset, &two);
        write_at(&sealed, offset + distance, &one);
    };
    swap(0, 65536, 65536);
    swap(table, 64, 64);
    assert_refused!(
        place.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { damage: Damage::Chunks { count: 2, .. }, .. }),
        place.decrypt(&sealed),
        "data and entries swapped"
    );
}

#[test]
fn an_imported_trailer_repairs_what_was_lost_behind_the_data() {
    let place = Place::new();
    let (sealed, content) = place.sealed("file");
    let trailer = place.export(&sealed, "trailer");
    let whole = fs::read(&sealed).unwrap();
    let geometry = layout(LEN);
    let end = geometry.sealed_len();
    let cuts = [
        LEN,
        LEN + 1,
        geometry.trailer_offset(),
        geometry.trailer_offset() + 4095,
        geometry.slot_area_offset(0),
        geometry.slot_area_offset(1) + 100,
        geometry.table_offset(),
        geometry.superblock_b_offset(),
        end - 1,
        end,
    ];
    for cut in cuts {
        set_len(&sealed, cut);
        assert_eq!(place.import(&sealed, &trailer).unwrap(), end - geometry.trailer_offset(), "cut at {cut}");
        assert!(fs::read(&sealed).unwrap() == whole, "cut at {cut}: not what it was");
        place.verify(&sealed).unwrap();
    }
    for start in [geometry.slot_area_offset(0), geometry.table_offset(), geometry.superblock_b_offset()] {
        write_at(&sealed, start, &[0x5A; 4096]);
        place.import(&sealed, &trailer).unwrap();
        assert!(fs::read(&sealed).unwrap() == whole, "overwritten at {start}: not what it was");
    }
    write_at(&sealed, geometry.trailer_offset(), &vec![0x5A; (end - geometry.trailer_offset()) as usize]);
    place.import(&sealed, &trailer).unwrap();
    assert!(fs::read(&sealed).unwrap() == whole, "all overwritten: not what it was");
    place.decrypt(&sealed).unwrap();
    assert_eq!(digest(&place.path().join("file")), content);
}

/// What overwrites a trailer from its beginning hits the padding before it, too, which holds nothing.
#[test]
fn an_import_writes_the_padding_anew() {
    let place = Place::new();
    let (sealed, content) = place.sealed("file");
    let trailer = place.export(&sealed, "trailer");
    let end = layout(LEN).sealed_len();
    write_at(&sealed, LEN, &vec![0xff; (end - LEN) as usize]);
    place.import(&sealed, &trailer).unwrap();
    place.verify(&sealed).unwrap();
    let plain = place.decrypt(&sealed).unwrap().path.unwrap();
    assert_eq!(digest(&plain), content);
}

#[test]
fn a_trailer_with_one_bad_copy_is_still_good_for_import() {
    let place = Place::new();
    let (sealed, _) = place.sealed("file");
    let whole = fs::read(&sealed).unwrap();
    let geometry = layout(LEN);
    flip(&sealed, geometry.superblock_a_offset() + 100, 1);
    flip(&sealed, geometry.slot_area_offset(1) + 100, 1);
    let trailer = place.export(&sealed, "of the damaged file");
    place.import(&sealed, &trailer).unwrap();
    assert!(fs::read(&sealed).unwrap() == whole, "the export has the good copies twice");
    for at in [100, 4096 + 100, 28672 + 100, geometry.sealed_len() - geometry.trailer_offset() - 1] {
        flip(&trailer, at, 1);
        set_len(&sealed, LEN);
        place.import(&sealed, &trailer).unwrap();
        assert!(fs::read(&sealed).unwrap() == whole, "backup damaged at {at}");
        flip(&trailer, at, 1);
    }
}

#[test]
fn the_wrong_trailer_is_not_imported() {
    let place = Place::new();
    let (sealed, _) = place.sealed("file");
    let (other, _) = place.sealed("other");
    let foreign = place.export(&other, "foreign");
    let old = place.export(&sealed, "old");
    // Sealed anew with the same content: another file id, other nonces.
    place.decrypt(&sealed).unwrap();
    place.encrypt(&place.path().join("file"));
    let own = place.export(&sealed, "own");

    let whole = fs::read(&sealed).unwrap();
    for (case, trailer) in [("foreign", &foreign), ("old", &old)] {
        for len in [LEN, layout(LEN).trailer_offset() + 5000, layout(LEN).sealed_len()] {
            fs::write(&sealed, &whole[..len as usize]).unwrap();
            assert_refused!(
                place.path(),
                Damaged,
                JobError::Open(OpenError::Damaged { .. }),
                place.import(&sealed, trailer),
                "{case} trailer behind {len} bytes"
            );
        }
    }
    fs::write(&sealed, &whole).unwrap();

    let bytes = fs::read(&own).unwrap();
    let spoiled = place.elsewhere.path().join("spoiled");
    for len in [0, 1, 4096, 8192, bytes.len() / 2, bytes.len() - 4096, bytes.len() - 1] {
        fs::write(&spoiled, &bytes[..len]).unwrap();
        let before = support::Snapshot::of(place.path());
        let error = place.import(&sealed, &spoiled).expect_err("a cut trailer");
        before.assert_unchanged(place.path(), &format!("own trailer cut to {len} bytes"));
        let expected = match error {
            // Too short to hold one.
            JobError::Open(OpenError::NotSealed { .. }) => len < 8192,
            JobError::Open(OpenError::Damaged { .. }) => len >= 8192,
            _ => false,
        };
        assert!(expected, "own trailer cut to {len} bytes: {error:?}");
    }
    fs::write(&spoiled, [&bytes[..], &[0; 4096]].concat()).unwrap();
    assert_refused!(
        place.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { .. }),
        place.import(&sealed, &spoiled),
        "own trailer with a block more"
    );
    let table = (layout(LEN).table_offset() - layout(LEN).trailer_offset()) as usize;
    for at in [table, table + 30, table + 63, table + 6 * 64] {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        fs::write(&spoiled, &wrong).unwrap();
        assert_refused!(
            place.path(),
            Damaged,
            JobError::Open(OpenError::Damaged { .. }),
            place.import(&sealed, &spoiled),
            "own trailer with a bad table at {at}"
        );
    }
    place.import(&sealed, &own).unwrap();
    place.verify(&sealed).unwrap();
}

#[test]
fn a_trailer_is_not_imported_into_what_is_not_its_file() {
    let place = Place::new();
    let (sealed, _) = place.sealed("file");
    let trailer = place.export(&sealed, "trailer");
    let plain = place.path().join("plain");
    for len in [0, LEN - 1, LEN, LEN + 1, layout(LEN).sealed_len(), layout(LEN).sealed_len() + 1] {
        write_content(&plain, len, 3);
        assert_refused!(
            place.path(),
            Damaged,
            JobError::Open(OpenError::Damaged { .. }),
            place.import(&plain, &trailer),
            "into {len} bytes of another file"
        );
    }
    flip(&sealed, 70_000, 4);
    assert_refused!(
        place.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { damage: Damage::Chunk { chunk: 1, .. }, .. }),
        place.import(&sealed, &trailer),
        "into damaged data"
    );
    flip(&sealed, 70_000, 4);
    assert_refused!(
        place.path(),
        NoKey,
        JobError::Open(OpenError::Key(_)),
        import_trailer(&sealed, &trailer, &Identities::none(), &Control::silent()),
        "without a key"
    );
    fs::write(place.path().join("file.pageseal-journal"), b"").unwrap();
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::JobOpen { .. }),
        place.import(&sealed, &trailer),
        "beside a journal"
    );
}

#[test]
fn an_export_overwrites_nothing_and_takes_only_sealed_files() {
    let place = Place::new();
    let (sealed, _) = place.sealed("file");
    let plain = place.path().join("plain");
    write_content(&plain, LEN, 3);
    let new = place.path().join("new");
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::TargetExists { .. }),
        export_trailer(&sealed, &plain),
        "onto a file"
    );
    assert_refused!(
        place.path(),
        Refused,
        JobError::Open(OpenError::NotSealed { .. }),
        export_trailer(&plain, &new),
        "of a plain file"
    );
    set_len(&sealed, layout(LEN).sealed_len() - 1);
    assert_refused!(
        place.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { .. }),
        export_trailer(&sealed, &new),
        "of a truncated file"
    );
    let (other, _) = place.sealed("other");
    assert_refused!(
        place.path(),
        Refused,
        JobError::Refused(Refusal::Output { .. }),
        export_trailer(&other, &place.path().join("missing/new")),
        "into a missing folder"
    );
}

/// The size of 200 GiB and 2 TiB is in their numbers only: all but the superblocks are holes.
#[test]
fn a_huge_sealed_file_that_lost_a_byte_or_got_one_more_is_not_plain() {
    use pageseal_format::{FileState, Superblock};
    let folder = folder();
    let keys = Keys::new(folder.path());
    let path = folder.path().join("huge");
    for len in [200 << 30, (2 << 40) + 12_345] {
        let geometry = layout(len);
        let superblock = Superblock {
            suite: 1,
            geometry,
            state: FileState::Sealed,
            file_id: [1; 16],
            job_sequence: 1,
            job_id: [2; 16],
            commitment: [3; 32],
            compat: 0,
            ro_compat: 0,
            incompat: 0,
        };
        let block = superblock.encode(|_| [4; 32]);
        let end = geometry.sealed_len();
        fs::write(&path, b"").unwrap();
        set_len(&path, end);
        for offset in [geometry.superblock_a_offset(), geometry.superblock_b_offset()] {
            write_at(&path, offset, &block[..]);
        }
        let truncated = |missing_bytes| Damage::Truncated { missing_bytes };
        let foreign = |foreign_bytes| Damage::ForeignBytes { trailer_end: end, foreign_bytes };
        let cases = [(end + (1 << 40), foreign(1 << 40)), (end + 1, foreign(1)), (end - 1, truncated(1))];
        for (new_len, expected) in cases {
            set_len(&path, new_len);
            let status = pageseal::info(&path, None).unwrap().status;
            assert_eq!(status, pageseal::FileStatus::Damaged(expected), "{len} bytes of plaintext");
            let recipients = std::slice::from_ref(&keys.recipient);
            let options = pageseal::EncryptOptions { allow_sparse: true, ..Default::default() };
            let refused = pageseal::encrypt_in_place(&path, recipients, &options, &Control::silent());
            assert_eq!(refused.unwrap_err().class(), pageseal::ErrorClass::Damaged);
        }
    }
}

/// What a crash can leave of an import, for a file without content: each sector is what the import
/// writes there, or is not written yet.
#[test]
fn an_import_for_an_empty_file_that_was_cut_off_can_be_repeated() {
    let place = Place::new();
    let (sealed, _) = sealed_file(place.path(), &place.keys, "empty", 0);
    let trailer = place.export(&sealed, "trailer");
    let whole = fs::read(&sealed).unwrap();
    let geometry = layout(0);
    let [a, b] = [geometry.superblock_a_offset(), geometry.superblock_b_offset()].map(|at| at as usize);
    let slots = geometry.slot_area_offset(0) as usize;
    let table = geometry.table_offset() as usize;
    let without = |parts: &[std::ops::Range<usize>]| {
        let mut bytes = whole.clone();
        parts.iter().for_each(|part| bytes[part.clone()].fill(0));
        bytes
    };
    let blocks = [a..a + 4096, b..b + 4096];
    let torn = [
        without(&blocks),
        without(&[blocks[0].clone(), b + 512..b + 4096]),
        without(&[blocks[0].clone(), blocks[1].clone(), slots + 512..table]),
        without(&[blocks[0].clone(), slots..table, blocks[1].clone()]),
    ];
    for (case, bytes) in torn.iter().enumerate() {
        fs::write(&sealed, bytes).unwrap();
        place.import(&sealed, &trailer).unwrap_or_else(|error| panic!("torn in way {case}: {error}"));
        assert_eq!(fs::read(&sealed).unwrap(), whole, "{case}");
    }
    // Nothing of the trailer, and a byte that is not its own.
    let zeros = vec![0; whole.len()];
    let mut foreign = without(&blocks);
    foreign[b + 100] = 1;
    let mut in_slots = without(&blocks);
    in_slots[slots + 3000] ^= 1;
    let longer = [&without(&blocks)[..], &[0]].concat();
    for (case, bytes) in [zeros, foreign, in_slots, longer].iter().enumerate() {
        fs::write(&sealed, bytes).unwrap();
        assert_refused!(
            place.path(),
            Damaged,
            JobError::Open(OpenError::Damaged { damage: Damage::ForeignBytes { .. }, .. }),
            place.import(&sealed, &trailer),
            "foreign in way {case}"
        );
    }
}
