//! Sealed files that are damaged, cut, lengthened or met with the wrong key: refused with nothing changed, or, where one of
//! two copies survives, used and said.

#[macro_use]
mod support;

use std::fs;
use std::path::Path;

use pageseal::{
    Control, Damage, DecryptOptions, EncryptOptions, Identities, IoChoice, JobError, KeyError, Notice,
    OpenError, Passphrase, Recipient, Refusal, VerifyReport, decrypt_in_place, encrypt_in_place, verify,
};
use support::{
    Generator, Keys, Recorder, digest, flip, folder, layout, sealed_file, set_len, skip, write_at,
    write_content,
};

/// Three chunks and a bit, and not a whole number of blocks.
const LEN: u64 = 3 * 65536 + 1000;

fn decrypt(path: &Path, identities: &Identities) -> Result<pageseal::JobReport, JobError> {
    let options = DecryptOptions { threads: Some(2), ..DecryptOptions::default() };
    decrypt_in_place(path, identities, &options, &Control::silent())
}

fn check(path: &Path, identities: &Identities) -> Result<VerifyReport, OpenError> {
    verify(path, identities, Some(2), &Control::silent())
}

/// Verify and decrypt both call the file damaged and leave it alone.
fn assert_damaged(folder: &Path, path: &Path, identities: &Identities, case: &str) {
    assert_refused!(folder, Damaged, OpenError::Damaged { .. }, check(path, identities), "verify, {case}");
    assert_refused!(
        folder,
        Damaged,
        JobError::Open(OpenError::Damaged { .. }),
        decrypt(path, identities),
        "decrypt, {case}"
    );
}

#[test]
fn a_wrong_key_or_none_changes_nothing() {
    let (folder, key_folder) = (folder(), folder());
    let (keys, others) = (Keys::new(key_folder.path()), Keys::new(key_folder.path()));
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
    for identities in [Identities::none(), others.identities()] {
        assert_refused!(folder.path(), NoKey, OpenError::Key(_), check(&sealed, &identities), "verify");
        assert_refused!(
            folder.path(),
            NoKey,
            JobError::Open(OpenError::Key(_)),
            decrypt(&sealed, &identities),
            "decrypt"
        );
    }
    let error = check(&sealed, &others.identities()).unwrap_err();
    assert!(matches!(error, OpenError::Key(KeyError::NoKeyFits { .. })), "{error:?}");
    let error = check(&sealed, &Identities::none()).unwrap_err();
    assert!(matches!(error, OpenError::Key(KeyError::NoIdentities)), "{error:?}");
}

#[test]
fn a_wrong_passphrase_changes_nothing() {
    use pageseal::IdentitySource;
    use std::sync::Arc;
    let (folder, key_folder) = (folder(), folder());
    let plain = folder.path().join("file");
    write_content(&plain, LEN, 1);
    let recipient = Recipient::passphrase(Passphrase::from_string("correct horse".into()));
    encrypt_in_place(&plain, &[recipient], &EncryptOptions::default(), &Control::silent()).unwrap();
    let sealed = folder.path().join("file.sealed");
    let identities = |passphrase: &str| {
        let path = key_folder.path().join("passphrase");
        fs::write(&path, passphrase).unwrap();
        let source = IdentitySource::Passphrase(Passphrase::read_file(&path).unwrap());
        Identities::load([source], Arc::new(support::NoPrompt)).unwrap()
    };
    let wrong = identities("correct horse ");
    assert_refused!(
        folder.path(),
        NoKey,
        JobError::Open(OpenError::Key(KeyError::NoKeyFits { .. })),
        decrypt(&sealed, &wrong),
        "decrypt"
    );
    check(&sealed, &identities("correct horse\n")).unwrap();
}

#[test]
fn what_is_sealed_is_not_sealed_again_and_what_is_plain_is_not_opened() {
    let (folder, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
    let seal = |path: &Path, keep_name| {
        let options = EncryptOptions { keep_name, ..EncryptOptions::default() };
        encrypt_in_place(path, std::slice::from_ref(&keys.recipient), &options, &Control::silent())
    };
    assert_refused!(
        folder.path(),
        Refused,
        JobError::Refused(Refusal::AlreadySealed { .. }),
        seal(&sealed, true),
        "under its own name"
    );
    assert_refused!(
        folder.path(),
        Refused,
        JobError::Refused(Refusal::AlreadySealed { .. } | Refusal::TargetExists { .. }),
        seal(&sealed, false),
        "with a second suffix"
    );
    let moved = folder.path().join("moved");
    fs::rename(&sealed, &moved).unwrap();
    assert_refused!(
        folder.path(),
        Refused,
        JobError::Refused(Refusal::AlreadySealed { .. }),
        seal(&moved, false),
        "under a plain name"
    );
    for len in [0, 1, 4096, 8192, LEN] {
        let plain = folder.path().join("plain.sealed");
        write_content(&plain, len, 7);
        assert_refused!(
            folder.path(),
            Refused,
            OpenError::NotSealed { .. },
            check(&plain, &identities),
            "verify of {len} plain bytes"
        );
        assert_refused!(
            folder.path(),
            Refused,
            JobError::Open(OpenError::NotSealed { .. }),
            decrypt(&plain, &identities),
            "decrypt of {len} plain bytes"
        );
    }
    assert_refused!(
        folder.path(),
        Refused,
        JobError::Refused(Refusal::NoSealedSuffix { .. }),
        decrypt(&moved, &identities),
        "decrypt of a name without suffix"
    );
}

#[test]
fn a_truncated_file_is_refused() {
    let (folder, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
    let whole = fs::read(&sealed).unwrap();
    let len = whole.len() as u64;
    let geometry = layout(LEN);
    assert_eq!(geometry.sealed_len(), len);
    for cut in [1, 100, 4095, 4096, 4097, 8192, len - geometry.trailer_offset() - 4096] {
        fs::write(&sealed, &whole[..(len - cut) as usize]).unwrap();
        let case = format!("{cut} bytes cut off");
        let error = check(&sealed, &identities).unwrap_err();
        let expected = Damage::Truncated { missing_bytes: cut };
        assert!(
            matches!(&error, OpenError::Damaged { damage, .. } if *damage == expected),
            "{case}: {error:?}"
        );
        assert_damaged(folder.path(), &sealed, &identities, &case);
        let seal = || {
            let options = EncryptOptions { keep_name: true, ..EncryptOptions::default() };
            encrypt_in_place(&sealed, std::slice::from_ref(&keys.recipient), &options, &Control::silent())
        };
        assert_refused!(
            folder.path(),
            Damaged,
            JobError::Open(OpenError::Damaged { .. }),
            seal(),
            "encrypt, {case}"
        );
    }
    // Without any trailer nothing tells the file from a plain one.
    for left in [0, 1, LEN / 2, LEN, geometry.trailer_offset()] {
        fs::write(&sealed, &whole[..left as usize]).unwrap();
        assert_refused!(
            folder.path(),
            Refused,
            OpenError::NotSealed { .. },
            check(&sealed, &identities),
            "verify of {left} bytes"
        );
        assert_refused!(
            folder.path(),
            Refused,
            JobError::Open(OpenError::NotSealed { .. }),
            decrypt(&sealed, &identities),
            "decrypt of {left} bytes"
        );
    }
}

#[test]
fn foreign_bytes_behind_the_trailer_are_refused() {
    let (folder, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
    let end = layout(LEN).sealed_len();
    for (count, byte) in [(1, 0), (1, 9), (4096, 0), (4096, 9), (1 << 20, 0), (1 << 20, 9), (61440, 1)] {
        set_len(&sealed, end);
        write_at(&sealed, end, &vec![byte; count as usize]);
        let case = format!("{count} bytes of {byte} follow");
        let error = check(&sealed, &identities).unwrap_err();
        let expected = Damage::ForeignBytes { trailer_end: end, foreign_bytes: count };
        assert!(
            matches!(&error, OpenError::Damaged { damage, .. } if *damage == expected),
            "{case}: {error:?}"
        );
        assert_damaged(folder.path(), &sealed, &identities, &case);
    }
}

#[test]
fn a_flipped_bit_of_the_data_names_its_chunk() {
    let (folder, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
    let mut generator = Generator::new(5);
    let mut positions = vec![0, 1, 65535, 65536, 4096, 3 * 65536, LEN - 1];
    positions.extend((0..20).map(|_| generator.below(LEN)));
    for at in positions {
        let mask = 1 << generator.below(8);
        flip(&sealed, at, mask);
        let error = check(&sealed, &identities).unwrap_err();
        let chunk = at / 65536;
        let expected = Damage::Chunk { chunk, offset: chunk * 65536 };
        assert!(
            matches!(&error, OpenError::Damaged { damage, .. } if *damage == expected),
            "byte {at}: {error:?}"
        );
        assert_damaged(folder.path(), &sealed, &identities, &format!("byte {at}"));
        flip(&sealed, at, mask);
    }
    flip(&sealed, 0, 1);
    flip(&sealed, 65536, 1);
    let error = check(&sealed, &identities).unwrap_err();
    assert!(
        matches!(&error, OpenError::Damaged { damage, .. } if named_chunks(damage) == [0, 1]),
        "{error:?}"
    );
}

/// Every chunk that the damage names, whose ranges must be of whole chunks and follow on one another with gaps.
fn named_chunks(damage: &Damage) -> Vec<u64> {
    match damage {
        Damage::Chunk { chunk, offset } => {
            assert_eq!(*offset, chunk * 65536);
            vec![*chunk]
        }
        Damage::Chunks { count, ranges, ranges_left_out: 0 } => {
            let named = ranges.iter().flat_map(|range| {
                assert_eq!(range.offset, range.first_chunk * 65536);
                assert!(
                    range.len_bytes > (range.chunks - 1) * 65536 && range.len_bytes <= range.chunks * 65536
                );
                range.first_chunk..range.first_chunk + range.chunks
            });
            let named: Vec<u64> = named.collect();
            assert_eq!(named.len() as u64, *count);
            assert!(ranges.windows(2).all(|pair| pair[0].first_chunk + pair[0].chunks < pair[1].first_chunk));
            named
        }
        other => panic!("{other:?}"),
    }
}

/// Past the page cache 16 MiB are read at a time, and the next ones meanwhile.
#[test]
fn damage_in_several_large_reads_is_found_by_every_store() {
    let (folder, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", 40 * (1 << 20) + 1000);
    let mut expected = Vec::new();
    // The last chunk, the ones beside a border of two reads, and one in between.
    for first_chunk in [640, 256, 255, 100] {
        flip(&sealed, first_chunk * 65536 + 7, 1);
        expected.push(first_chunk);
        expected.sort_unstable();
        for io in [IoChoice::Direct, IoChoice::Buffered, IoChoice::Mmap] {
            let options = DecryptOptions { io, threads: Some(2), ..DecryptOptions::default() };
            let recorder = Recorder::default();
            let error =
                decrypt_in_place(&sealed, &keys.identities(), &options, &recorder.control()).unwrap_err();
            if recorder.notices().iter().any(|notice| matches!(notice, Notice::DirectRefused { .. })) {
                skip("a file system with direct I/O");
            }
            assert!(
                matches!(&error, JobError::Open(OpenError::Damaged { damage, .. }) if named_chunks(damage) == expected),
                "{io:?}: {error:?}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_of_the_table_or_a_padding_is_found() {
    let (folder, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, content) = sealed_file(folder.path(), &keys, "file", LEN);
    let geometry = layout(LEN);
    let mut positions: Vec<(u64, &str)> = Vec::new();
    for chunk in 0..4 {
        let entry = geometry.table_entry_offset(chunk);
        let fields = [(0, "nonce"), (23, "nonce"), (24, "tag"), (55, "tag"), (56, "epoch"), (59, "epoch")];
        positions.extend(fields.map(|(at, name)| (entry + at, name)));
        positions.extend(
            [(60, "flags"), (61, "flags"), (62, "reserved"), (63, "reserved")]
                .map(|(at, name)| (entry + at, name)),
        );
    }
    let table_used = geometry.table_entry_offset(3) + 64;
    let table_end = geometry.table_offset() + geometry.table_len();
    positions.extend([(table_used, "table padding"), (table_end - 1, "table padding")]);
    positions.extend([LEN, LEN + 1, geometry.trailer_offset() - 1].map(|at| (at, "padding")));
    for (at, name) in positions {
        for mask in [0x01, 0x80] {
            flip(&sealed, at, mask);
            assert_damaged(folder.path(), &sealed, &identities, &format!("{name} at {at}, mask {mask}"));
            flip(&sealed, at, mask);
        }
    }
    decrypt(&sealed, &identities).unwrap();
    assert_eq!(digest(&folder.path().join("file")), content);
}

/// What a flip in a block that has a second copy must lead to.
fn survives(folder: &Path, sealed: &Path, identities: &Identities, at: u64, expected: &Notice) {
    flip(sealed, at, 0x10);
    let recorder = Recorder::default();
    verify(sealed, identities, Some(2), &recorder.control())
        .unwrap_or_else(|error| panic!("verify with byte {at} flipped: {error:?}"));
    assert_eq!(recorder.notices(), std::slice::from_ref(expected), "byte {at}");
    let info = pageseal::info(sealed, None).unwrap();
    assert_eq!(info.notices, std::slice::from_ref(expected), "info, byte {at}");
    assert_eq!(info.status, pageseal::FileStatus::Sealed, "info, byte {at}");

    let copy = folder.join("copy.sealed");
    fs::copy(sealed, &copy).unwrap();
    let recorder = Recorder::default();
    let options = DecryptOptions { threads: Some(2), ..DecryptOptions::default() };
    decrypt_in_place(&copy, identities, &options, &recorder.control()).unwrap();
    assert!(recorder.notices().contains(expected), "decrypt, byte {at}: {:?}", recorder.notices());
    flip(sealed, at, 0x10);
}

#[test]
fn one_damaged_copy_is_survived_and_said() {
    let (folder, key_folder, scratch) = (folder(), folder(), support::folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, content) = sealed_file(folder.path(), &keys, "file", LEN);
    let geometry = layout(LEN);
    let superblocks = [geometry.superblock_a_offset(), geometry.superblock_b_offset()];
    for (copy, start) in ['A', 'B'].into_iter().zip(superblocks) {
        for at in [0, 8, 10, 12, 32, 96, 200, 3000, 4031, 4032, 4064, 4095] {
            let notice = Notice::SuperblockCopyDamaged { copy };
            survives(scratch.path(), &sealed, &identities, start + at, &notice);
            assert_eq!(digest(&scratch.path().join("copy")), content);
            fs::remove_file(scratch.path().join("copy")).unwrap();
        }
    }
    for copy in [1, 2] {
        let start = geometry.slot_area_offset(usize::from(copy) - 1);
        for at in [0, 8, 10, 16, 32, 64, 90, 200, 12000, 24511, 24512, 24544, 24575] {
            let notice = Notice::SlotAreaDamaged { copy };
            survives(scratch.path(), &sealed, &identities, start + at, &notice);
            assert_eq!(digest(&scratch.path().join("copy")), content);
            fs::remove_file(scratch.path().join("copy")).unwrap();
        }
    }
}

#[test]
fn both_copies_damaged_are_refused() {
    let (folder, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
    let geometry = layout(LEN);
    for (one, other) in [(64, 64), (100, 20000), (24544, 24575), (0, 0)] {
        let places = [geometry.slot_area_offset(0) + one, geometry.slot_area_offset(1) + other];
        places.iter().for_each(|at| flip(&sealed, *at, 1));
        let error = check(&sealed, &identities).unwrap_err();
        let unreadable = |error: &OpenError| {
            matches!(error, OpenError::Damaged { damage: Damage::SlotsUnreadable { .. }, .. })
        };
        assert!(unreadable(&error), "{error:?}");
        assert_damaged(folder.path(), &sealed, &identities, &format!("slots at {one} and {other}"));
        places.iter().for_each(|at| flip(&sealed, *at, 1));
    }
    check(&sealed, &identities).unwrap();
}

#[test]
fn both_superblocks_damaged_are_refused() {
    let (folder, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
    let geometry = layout(LEN);
    for (one, other) in [(12, 12), (40, 4000), (4095, 4064)] {
        let places = [geometry.superblock_a_offset() + one, geometry.superblock_b_offset() + other];
        places.iter().for_each(|at| flip(&sealed, *at, 1));
        let case = format!("superblocks at {one} and {other}");
        assert_damaged(folder.path(), &sealed, &identities, &case);
        let options = EncryptOptions { keep_name: true, ..EncryptOptions::default() };
        let recipients = std::slice::from_ref(&keys.recipient);
        assert_refused!(
            folder.path(),
            Damaged,
            JobError::Open(OpenError::Damaged { .. }),
            encrypt_in_place(&sealed, recipients, &options, &Control::silent()),
            "encrypt, {case}"
        );
        places.iter().for_each(|at| flip(&sealed, *at, 1));
    }
}

#[test]
fn random_flips_over_the_whole_trailer_are_said_or_refused() {
    let (folder, key_folder, scratch) = (folder(), folder(), support::folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, content) = sealed_file(folder.path(), &keys, "file", LEN);
    let geometry = layout(LEN);
    let (start, end) = (geometry.trailer_offset(), geometry.sealed_len());
    let mut generator = Generator::new(99);
    let (mut said, mut refused) = (0, 0);
    for round in 0..400 {
        let at = start + generator.below(end - start);
        let mask = 1 << generator.below(8);
        flip(&sealed, at, mask);
        let before = support::Snapshot::of(folder.path());
        let recorder = Recorder::default();
        match verify(&sealed, &identities, Some(1), &recorder.control()) {
            Ok(_) => {
                assert_eq!(recorder.notices().len(), 1, "byte {at}, mask {mask}: accepted without a word");
                said += 1;
                if round % 8 == 0 {
                    let copy = scratch.path().join("copy.sealed");
                    fs::copy(&sealed, &copy).unwrap();
                    decrypt(&copy, &identities).unwrap();
                    assert_eq!(digest(&scratch.path().join("copy")), content, "byte {at}, mask {mask}");
                    fs::remove_file(scratch.path().join("copy")).unwrap();
                }
            }
            Err(error) => {
                assert_eq!(error.class(), pageseal::ErrorClass::Damaged, "byte {at}, mask {mask}: {error:?}");
                assert!(decrypt(&sealed, &identities).is_err(), "byte {at}, mask {mask}");
                refused += 1;
            }
        }
        before.assert_unchanged(folder.path(), &format!("byte {at}, mask {mask}"));
        flip(&sealed, at, mask);
    }
    assert!(said > 300 && refused > 10, "{said} said, {refused} refused");
}

#[test]
fn a_padding_is_looked_at_also_where_the_file_is_not_verified_first() {
    use pageseal::{Input, Output, decrypt_to};
    let (folder, key_folder) = (folder(), folder());
    let keys = Keys::new(key_folder.path());
    let identities = keys.identities();
    let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
    let geometry = layout(LEN);
    let table_end = geometry.table_offset() + geometry.table_len();
    for (at, name) in [(LEN, "padding"), (table_end - 1, "table padding")] {
        flip(&sealed, at, 1);
        for verify_first in [false, true] {
            let options = DecryptOptions { verify_first, ..DecryptOptions::default() };
            let (from, to) = (Input::File(sealed.clone()), Output::File(folder.path().join("out")));
            assert_refused!(
                folder.path(),
                Damaged,
                JobError::Open(OpenError::Damaged { damage: Damage::Padding { .. }, .. }),
                decrypt_to(&from, &to, &identities, &options, &Control::silent()),
                "to a file, {name}, {verify_first}"
            );
            assert_refused!(
                folder.path(),
                Damaged,
                JobError::Open(OpenError::Damaged { damage: Damage::Padding { .. }, .. }),
                decrypt_in_place(&sealed, &identities, &options, &Control::silent()),
                "in place, {name}, {verify_first}"
            );
        }
        flip(&sealed, at, 1);
    }
}
