//! A sealed file that somebody changed.

use std::sync::{Mutex, OnceLock, PoisonError};

use pageseal::{
    Control, DecryptOptions, Input as From, JobError, Notice, Output, Progress, Stage, decrypt_in_place,
    decrypt_to, info, verify,
};

use crate::edits::Input;
use crate::fixture::Sealed;
use crate::place::{Place, assert_refusal, identities};

/// Edits a sealed file and opens it. It opens to the original plaintext or not at all, and never without a notice if a byte of
/// it was changed: one superblock copy and one slot area may be damaged, no more. What is refused stays as it was.
pub fn sealed_open(data: &[u8]) {
    let mut input = Input::new(data);
    let files = files();
    let sealed = &files[usize::from(input.byte()) % files.len()];
    let choice = input.byte();
    let mut document = sealed.document();
    let original = document.bytes.clone();
    document.edit(&mut input, choice & 1 != 0);

    let place = Place::new();
    place.write("file.sealed", &document.bytes);
    let before = place.look();
    let _ = info(&place.path("file.sealed"), None);
    let notices = Notices::default();
    let control = Control { progress: &notices, ..Control::silent() };
    let verified = verify(&place.path("file.sealed"), identities(), Some(1), &control);
    before.assert_same(&place.look(), "info and verify");
    let accepted = match verified {
        Ok(_) => {
            let noticed = !notices.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            assert!(noticed || document.bytes == original, "a change that nobody noticed");
            true
        }
        Err(error) => {
            assert_refusal(&JobError::Open(error), "verify");
            assert!(document.bytes != original, "the file itself was refused");
            false
        }
    };
    match choice & 2 == 0 {
        true => in_place(&place, sealed, accepted),
        false => out_of_place(&place, sealed, accepted),
    }
}

fn in_place(place: &Place, sealed: &Sealed, accepted: bool) {
    let before = place.look();
    let options = DecryptOptions { threads: Some(1), ..DecryptOptions::default() };
    match decrypt_in_place(&place.path("file.sealed"), identities(), &options, &Control::silent()) {
        Ok(_) => {
            let now = place.look();
            assert!(accepted, "decrypt accepts what verify refuses");
            assert_eq!(now.names(), ["file"], "names after a decrypt");
            assert!(now.content("file") == Some(&sealed.plain[..]), "another plaintext");
        }
        Err(error) => {
            assert_refusal(&error, "decrypt");
            assert!(!accepted, "decrypt refuses what verify accepts: {error:?}");
            before.assert_same(&place.look(), "a refused decrypt");
        }
    }
}

fn out_of_place(place: &Place, sealed: &Sealed, accepted: bool) {
    let before = place.look();
    // Without a look at the whole file first: every chunk must be refused on its own.
    let options = DecryptOptions { threads: Some(1), verify_first: false, ..DecryptOptions::default() };
    let (from, to) = (From::File(place.path("file.sealed")), Output::File(place.path("out")));
    match decrypt_to(&from, &to, identities(), &options, &Control::silent()) {
        Ok(_) => {
            assert!(accepted, "decrypt accepts what verify refuses");
            assert!(place.look().content("out") == Some(&sealed.plain[..]), "another plaintext");
        }
        Err(error) => {
            assert_refusal(&error, "decrypt to a file");
            assert!(!accepted, "decrypt refuses what verify accepts: {error:?}");
            before.assert_same(&place.look(), "a refused decrypt to a file");
        }
    }
}

#[derive(Default)]
struct Notices(Mutex<Vec<Notice>>);

impl Progress for Notices {
    fn stage(&self, _: Stage, _: u64, _: u64) {}

    fn advance(&self, _: u64) {}

    fn notice(&self, notice: &Notice) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(notice.clone());
    }
}

/// An empty file, a byte, a whole chunk, and two chunks with padding.
fn files() -> &'static [Sealed] {
    static FILES: OnceLock<Vec<Sealed>> = OnceLock::new();
    FILES.get_or_init(|| [0, 1, 65536, 70_000].into_iter().map(Sealed::new).collect())
}
