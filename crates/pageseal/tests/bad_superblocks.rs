//! Superblocks that a forger or a later version wrote: with a right checksum and impossible, unknown or unauthenticated content.

#[macro_use]
mod support;

use std::path::{Path, PathBuf};

use pageseal::{
    Control, Damage, DecryptOptions, EncryptOptions, Identities, JobError, OpenError, decrypt_in_place,
    encrypt_in_place, verify,
};
use support::{Keys, digest, fix_checksum, folder, layout, read_at, sealed_file, write_at};

const LEN: u64 = 2 * 65536 + 77;

struct Victim {
    folder: support::Folder,
    key_folder: support::Folder,
    keys: Keys,
    identities: Identities,
    sealed: PathBuf,
    block: Vec<u8>,
}

impl Victim {
    fn new() -> Self {
        let (folder, key_folder) = (folder(), folder());
        let keys = Keys::new(key_folder.path());
        let identities = keys.identities();
        let (sealed, _) = sealed_file(folder.path(), &keys, "file", LEN);
        let block = read_at(&sealed, layout(LEN).superblock_a_offset(), 4096);
        Victim { folder, key_folder, keys, identities, sealed, block }
    }

    /// The superblock with `bytes` at `at` and a right checksum, and the old MAC.
    fn forged(&self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut block = self.block.clone();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        fix_checksum(&mut block);
        block
    }

    fn put(&self, a: &[u8], b: &[u8]) {
        let geometry = layout(LEN);
        write_at(&self.sealed, geometry.superblock_a_offset(), a);
        write_at(&self.sealed, geometry.superblock_b_offset(), b);
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn verify(&self) -> Result<pageseal::VerifyReport, OpenError> {
        verify(&self.sealed, &self.identities, Some(2), &Control::silent())
    }

    fn decrypt(&self) -> Result<pageseal::JobReport, JobError> {
        decrypt_in_place(&self.sealed, &self.identities, &DecryptOptions::default(), &Control::silent())
    }

    fn encrypt(&self) -> Result<pageseal::JobReport, JobError> {
        let options = EncryptOptions { keep_name: true, ..EncryptOptions::default() };
        let recipients = std::slice::from_ref(&self.keys.recipient);
        encrypt_in_place(&self.sealed, recipients, &options, &Control::silent())
    }

    fn export(&self) -> Result<u64, JobError> {
        pageseal::export_trailer(&self.sealed, &self.key_folder.path().join("trailer"))
    }
}

#[test]
fn what_a_newer_version_made_is_refused_as_such() {
    let victim = Victim::new();
    let cases: [(&str, usize, &[u8]); 6] = [
        ("version 2", 8, &[2, 0]),
        ("version 65535", 8, &[0xFF, 0xFF]),
        ("suite 4", 10, &[4]),
        ("suite 255", 10, &[255]),
        ("incompatible bit 0", 88, &[1]),
        ("incompatible bit 63", 95, &[0x80]),
    ];
    for (case, at, bytes) in cases {
        let forged = victim.forged(at, bytes);
        victim.put(&forged, &forged);
        let folder = victim.folder();
        assert_refused!(folder, Refused, OpenError::Newer { .. }, victim.verify(), "verify, {case}");
        assert_refused!(
            folder,
            Refused,
            JobError::Open(OpenError::Newer { .. }),
            victim.decrypt(),
            "decrypt, {case}"
        );
        assert_refused!(
            folder,
            Refused,
            JobError::Open(OpenError::Newer { .. }),
            victim.encrypt(),
            "encrypt, {case}"
        );
        assert_refused!(
            folder,
            Refused,
            JobError::Open(OpenError::Newer { .. }),
            victim.export(),
            "export, {case}"
        );
        // One such copy beside one of version 1 is no file of ours at rest either.
        for (a, b) in [(&forged, &victim.block), (&victim.block, &forged)] {
            victim.put(a, b);
            assert_refused!(folder, Refused, OpenError::Newer { .. }, victim.verify(), "one copy, {case}");
        }
    }
}

#[test]
fn absurd_fields_are_damage_whoever_signed_them() {
    let victim = Victim::new();
    let huge = u64::MAX.to_le_bytes();
    let large = (1_u64 << 60).to_le_bytes();
    let mut cases: Vec<(String, usize, Vec<u8>)> = vec![
        ("suite 0".into(), 10, vec![0]),
        ("chunk size 2^15".into(), 11, vec![15]),
        ("chunk size 2^21".into(), 11, vec![21]),
        ("chunk size 2^255".into(), 11, vec![255]),
        ("another chunk size".into(), 11, vec![17]),
        ("state 0".into(), 12, vec![0]),
        ("state 4".into(), 12, vec![4]),
        ("detached trailer".into(), 13, vec![1]),
        ("reserved".into(), 14, vec![1]),
        ("length 2^64 - 1".into(), 32, huge.to_vec()),
        ("length 2^60".into(), 32, large.to_vec()),
        ("length 2^60 + 1".into(), 32, ((1_u64 << 60) + 1).to_le_bytes().to_vec()),
        ("length 0".into(), 32, vec![0; 8]),
        ("length 1 less".into(), 32, (LEN - 1).to_le_bytes().to_vec()),
        ("job sequence 0".into(), 40, vec![0; 8]),
        ("shard index".into(), 64, vec![1]),
        ("shard count 0".into(), 68, vec![0]),
        ("shard count 2".into(), 68, vec![2]),
        ("rekey descriptor".into(), 272, vec![1]),
        ("table digest".into(), 400, vec![1]),
        ("reserved at the end".into(), 4031, vec![1]),
    ];
    for field in 0..9 {
        for (what, at) in [("offset", 128 + 16 * field), ("length", 136 + 16 * field)] {
            for value in [huge, large, 4096_u64.to_le_bytes(), 1_u64.to_le_bytes()] {
                // Superblocks are 4096 bytes long, so that value is right for theirs.
                if victim.block[at..at + 8] != value {
                    cases.push((format!("{what} {field}: {value:?}"), at, value.to_vec()));
                }
            }
        }
    }
    for (case, at, bytes) in cases {
        let forged = victim.forged(at, &bytes);
        victim.put(&forged, &forged);
        let folder = victim.folder();
        let before = support::Snapshot::of(folder);
        for error in [JobError::Open(victim.verify().expect_err(&case)), victim.decrypt().expect_err(&case)] {
            // The keys depend on the chunk size, so a wrong one shows in the slots first.
            let newer = matches!(error, JobError::Open(OpenError::Newer { .. }));
            assert!(newer || error.class() == pageseal::ErrorClass::Damaged, "{case}: {error:?}");
        }
        assert!(victim.encrypt().is_err(), "encrypt, {case}");
        before.assert_unchanged(folder, &case);
    }
}

#[test]
fn possible_fields_with_a_wrong_mac_are_forged() {
    let victim = Victim::new();
    let cases: [(&str, usize, &[u8]); 7] = [
        ("job sequence", 40, &[9]),
        ("job id", 48, &[0xAA; 16]),
        ("compatible bit", 72, &[1]),
        ("read-only compatible bit", 80, &[1]),
        ("MAC", 4032, &[0; 32]),
        ("MAC's first byte", 4032, &[victim.block[4032] ^ 1]),
        ("MAC's last byte", 4063, &[victim.block[4063] ^ 0x80]),
    ];
    for (case, at, bytes) in cases {
        let forged = victim.forged(at, bytes);
        let folder = victim.folder();
        victim.put(&forged, &forged);
        assert_refused!(
            folder,
            Damaged,
            OpenError::Damaged { damage: Damage::WrongMac { .. }, .. },
            victim.verify(),
            "verify, {case}"
        );
        assert_refused!(
            folder,
            Damaged,
            JobError::Open(OpenError::Damaged { damage: Damage::WrongMac { .. }, .. }),
            victim.decrypt(),
            "decrypt, {case}"
        );
        for (a, b) in [(&forged, &victim.block), (&victim.block, &forged)] {
            victim.put(a, b);
            assert_refused!(
                folder,
                Damaged,
                JobError::Open(OpenError::Damaged { damage: Damage::SuperblocksDiffer, .. }),
                victim.decrypt(),
                "one copy, {case}"
            );
        }
    }
    // Fields that the keys depend on: the commitment or the slots do not fit any more.
    let bound: [(&str, usize, &[u8]); 3] =
        [("suite", 10, &[3]), ("file id", 16, &[1, 2, 3]), ("commitment", 96, &[1, 2, 3])];
    for (case, at, bytes) in bound {
        let forged = victim.forged(at, if at == 10 && victim.block[10] == 3 { &[1] } else { bytes });
        victim.put(&forged, &forged);
        let folder = victim.folder();
        assert_refused!(
            folder,
            Damaged,
            OpenError::Damaged { .. } | OpenError::Key(pageseal::KeyError::SlotMismatch { .. }),
            victim.verify(),
            "{case}"
        );
    }
}

#[test]
fn a_state_that_only_a_job_has_needs_the_jobs_journal() {
    let victim = Victim::new();
    for state in [2, 3] {
        let forged = victim.forged(12, &[state]);
        victim.put(&forged, &forged);
        let folder = victim.folder();
        assert_refused!(
            folder,
            Interrupted,
            OpenError::Interrupted { journal_found: false, .. },
            victim.verify(),
            "state {state}"
        );
        let options = pageseal::ResumeOptions { decrypt: true, ..Default::default() };
        assert_refused!(
            folder,
            Damaged,
            JobError::Open(OpenError::Damaged { damage: Damage::JournalMissing { .. }, .. }),
            pageseal::resume(&victim.sealed, &victim.identities, &options, &Control::silent()),
            "state {state}"
        );
        // Without a journal a decrypt that opened nothing can be undone, but not on a forger's word.
        assert_refused!(
            folder,
            Damaged,
            JobError::Open(OpenError::Damaged {
                damage: Damage::JournalMissing { .. } | Damage::WrongMac { block: "superblock" },
                ..
            }),
            pageseal::rollback(&victim.sealed, &victim.identities, &options, &Control::silent()),
            "state {state}"
        );
    }
}

#[test]
fn slot_areas_with_a_right_checksum_are_still_authenticated() {
    let victim = Victim::new();
    let geometry = layout(LEN);
    let area = read_at(&victim.sealed, geometry.slot_area_offset(0), 24576);
    let age_len = u32::from_le_bytes(area[68..72].try_into().unwrap());
    let cases: [(&str, usize, &[u8]); 10] = [
        ("version", 8, &[2]),
        ("slot count 0", 10, &[0]),
        ("slot count 33", 10, &[33]),
        ("slot count 2", 10, &[2]),
        ("bytes used", 12, &[0xFF, 0xFF, 0xFF, 0xFF]),
        ("file id", 16, &[1, 2, 3]),
        ("generation", 32, &[2]),
        ("slot type", 64, &[9]),
        ("age file's length", 68, &(age_len + 1).to_le_bytes()),
        ("MAC", 24512, &[1, 2, 3]),
    ];
    for (case, at, bytes) in cases {
        let mut forged = area.clone();
        forged[at..at + bytes.len()].copy_from_slice(bytes);
        fix_checksum(&mut forged);
        for copy in 0..2 {
            write_at(&victim.sealed, geometry.slot_area_offset(copy), &forged);
        }
        assert_refused!(
            victim.folder(),
            Damaged,
            JobError::Open(
                OpenError::Damaged { .. } | OpenError::Key(pageseal::KeyError::SlotMismatch { .. })
            ),
            victim.decrypt(),
            "both areas, {case}"
        );
        write_at(&victim.sealed, geometry.slot_area_offset(1), &area);
        // Intact but different, or malformed: never the forged one.
        if let Ok(report) = victim.verify() {
            assert_eq!(report.data_len_bytes, LEN, "{case}");
            let notices = pageseal::info(&victim.sealed, None).unwrap().notices;
            assert_eq!(notices, [pageseal::Notice::SlotAreaDamaged { copy: 1 }], "{case}");
        }
    }
}

/// The metadata key of a sealed file, found the way that any age implementation could.
fn derived_keys(victim: &Victim) -> pageseal_crypto::DerivedKeys {
    use std::io::Read;
    let area = read_at(&victim.sealed, layout(LEN).slot_area_offset(0), 24576);
    let slots = pageseal_format::SlotArea::parse(&area).unwrap().slots;
    let lines = std::fs::read_to_string(&victim.keys.identity_file).unwrap();
    let identity: age::x25519::Identity =
        lines.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap().parse().unwrap();
    let decryptor = age::Decryptor::new(&slots[0].age_file[..]).unwrap();
    let mut payload = Vec::new();
    let reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    reader.unwrap().read_to_end(&mut payload).unwrap();
    let context = pageseal_crypto::KeyContext {
        suite: pageseal::Suite::try_from(victim.block[10]).unwrap(),
        chunk_log2: victim.block[11],
        file_id: victim.block[16..32].try_into().unwrap(),
    };
    let file_key = pageseal_crypto::FileKey::from_bytes(payload[..32].try_into().unwrap());
    pageseal_crypto::DerivedKeys::derive(&file_key, &context)
}

#[test]
fn a_file_with_unknown_read_only_compatible_bits_is_read_but_not_changed() {
    let victim = Victim::new();
    let keys = derived_keys(&victim);
    let mut block = victim.block.clone();
    block[80] = 1;
    let mac = keys.metadata.mac(pageseal_format::labels::SUPERBLOCK, &block[..4032]);
    block[4032..4064].copy_from_slice(&mac);
    fix_checksum(&mut block);
    victim.put(&block, &block);
    victim.verify().unwrap();
    assert_refused!(
        victim.folder(),
        Refused,
        JobError::Open(OpenError::Newer { .. }),
        victim.decrypt(),
        "decrypt in place"
    );
}

#[test]
fn a_file_with_unknown_compatible_bits_is_opened() {
    let victim = Victim::new();
    let keys = derived_keys(&victim);
    let mut block = victim.block.clone();
    block[79] = 0x80;
    let mac = keys.metadata.mac(pageseal_format::labels::SUPERBLOCK, &block[..4032]);
    block[4032..4064].copy_from_slice(&mac);
    fix_checksum(&mut block);
    victim.put(&block, &block);
    victim.verify().unwrap();
    victim.decrypt().unwrap();
    let plain = victim.folder().join("file");
    let expected = victim.folder().join("expected");
    support::write_content(&expected, LEN, LEN + 4);
    assert_eq!(digest(&plain), digest(&expected));
}
