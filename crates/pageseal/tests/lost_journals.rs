//! A decrypt whose journal is lost: what brings the file back while every chunk is still sealed, and what is refused once one
//! is not.

#[macro_use]
mod support;

use std::fs;
use std::path::PathBuf;

use pageseal::{
    Control, Damage, DecryptOptions, Identities, JobError, JobOutcome, OpenError, ResumeOptions,
    decrypt_in_place, export_trailer, import_trailer, resume, rollback, verify,
};
use support::{
    Keys, WINDOW, digest, folder, interrupt_decrypt, layout, names_in, read_at, sealed_file, write_at,
};

const LEN: u64 = 5 * WINDOW + 123;

struct Place {
    folder: support::Folder,
    _elsewhere: support::Folder,
    keys: Keys,
    sealed: PathBuf,
    content: [u8; 32],
    trailer: PathBuf,
    /// The superblock copies of the decrypt while it ran.
    decrypting: [Vec<u8>; 2],
}

impl Place {
    /// A file whose superblocks say *decrypting*, without a journal, and with every chunk sealed. (A decrypt that was stopped and
    /// undone leaves it but for the superblocks.)
    fn new() -> Self {
        let (folder, elsewhere) = (folder(), folder());
        let keys = Keys::new(elsewhere.path());
        let (sealed, content) = sealed_file(folder.path(), &keys, "file", LEN);
        let trailer = elsewhere.path().join("trailer");
        export_trailer(&sealed, &trailer).unwrap();
        interrupt_decrypt(&sealed, &keys, &DecryptOptions::default());
        let decrypting = Self::superblocks().map(|offset| read_at(&sealed, offset, 4096));
        let identities = keys.identities();
        rollback(&sealed, &identities, &ResumeOptions::default(), &Control::silent()).unwrap();
        let place = Place { folder, _elsewhere: elsewhere, keys, sealed, content, trailer, decrypting };
        place.write_decrypting([true, true]);
        place
    }

    fn superblocks() -> [u64; 2] {
        [layout(LEN).superblock_a_offset(), layout(LEN).superblock_b_offset()]
    }

    fn write_decrypting(&self, copies: [bool; 2]) {
        for ((offset, block), is_wanted) in Self::superblocks().into_iter().zip(&self.decrypting).zip(copies)
        {
            if is_wanted {
                write_at(&self.sealed, offset, block);
            }
        }
    }

    fn rollback(&self, identities: &Identities) -> Result<pageseal::JobReport, JobError> {
        rollback(&self.sealed, identities, &ResumeOptions::default(), &Control::silent())
    }

    fn assert_sealed(&self, case: &str) {
        let identities = self.keys.identities();
        assert_eq!(names_in(self.folder.path()), ["file.sealed"], "{case}");
        verify(&self.sealed, &identities, Some(2), &Control::silent()).unwrap();
        let copies = Self::superblocks().map(|offset| read_at(&self.sealed, offset, 4096));
        assert_eq!(copies[0], copies[1], "{case}");
        let plain = self.folder.path().join("file");
        decrypt_in_place(&self.sealed, &identities, &DecryptOptions::default(), &Control::silent()).unwrap();
        assert_eq!(digest(&plain), self.content, "{case}");
        fs::remove_file(plain).unwrap();
    }
}

#[test]
fn rollback_seals_a_file_again_of_which_nothing_was_opened() {
    for copies in [[true, true], [true, false], [false, true]] {
        let place = Place::new();
        // Where only one copy was written, the other is that of before the job.
        let start = layout(LEN).trailer_offset();
        let before =
            [0, layout(LEN).superblock_b_offset() - start].map(|at| read_at(&place.trailer, at, 4096));
        for (offset, block) in Place::superblocks().into_iter().zip(&before) {
            write_at(&place.sealed, offset, block);
        }
        place.write_decrypting(copies);
        let data = read_at(&place.sealed, 0, start as usize);
        let report = place.rollback(&place.keys.identities()).unwrap();
        assert_eq!(report.outcome, JobOutcome::Sealed);
        assert_eq!(read_at(&place.sealed, 0, start as usize), data, "{copies:?}");
        place.assert_sealed(&format!("{copies:?}"));
    }
}

#[test]
fn a_torn_superblock_beside_a_decrypting_one_hinders_nothing() {
    for torn in Place::superblocks() {
        let place = Place::new();
        write_at(&place.sealed, torn + 512, &[0; 512]);
        place.rollback(&place.keys.identities()).unwrap();
        place.assert_sealed("torn");
    }
}

#[test]
fn an_exported_trailer_can_be_put_back_then() {
    let place = Place::new();
    import_trailer(&place.sealed, &place.trailer, &place.keys.identities(), &Control::silent()).unwrap();
    place.assert_sealed("import");
}

#[test]
fn once_something_was_opened_only_the_journal_helps() {
    let place = Place::new();
    let plain = vec![7; 65536];
    write_at(&place.sealed, 3 * 65536, &plain);
    let identities = place.keys.identities();
    assert_refused!(
        place.folder.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { damage: Damage::JournalMissing { .. }, .. }),
        place.rollback(&identities),
        "rollback"
    );
    assert_refused!(
        place.folder.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { damage: Damage::Chunk { chunk: 3, .. }, .. }),
        import_trailer(&place.sealed, &place.trailer, &identities, &Control::silent()),
        "import"
    );
}

#[test]
fn without_an_identity_or_the_word_rollback_nothing_is_tried() {
    let place = Place::new();
    let options = ResumeOptions { decrypt: true, ..ResumeOptions::default() };
    assert_refused!(
        place.folder.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { damage: Damage::JournalMissing { .. }, .. }),
        place.rollback(&Identities::none()),
        "no identity"
    );
    assert_refused!(
        place.folder.path(),
        Damaged,
        JobError::Open(OpenError::Damaged { damage: Damage::JournalMissing { .. }, .. }),
        resume(&place.sealed, &place.keys.identities(), &options, &Control::silent()),
        "resume"
    );
}
