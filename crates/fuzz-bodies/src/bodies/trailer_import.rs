//! An exported trailer that somebody changed, put back behind a file that has lost its own.

use std::sync::OnceLock;

use pageseal::{Control, import_trailer};

use crate::edits::Input;
use crate::fixture::Sealed;
use crate::place::{Place, assert_refusal, identities};

/// Edits a trailer, and sometimes the file, and imports the one into the other. Either the file is again, byte for byte, what was
/// sealed, or nothing has changed.
pub fn trailer_import(data: &[u8]) {
    let mut input = Input::new(data);
    let files = files();
    let sealed = &files[usize::from(input.byte()) % files.len()];
    let choice = input.byte();
    let whole = sealed.file();
    let (mut trailer, mut file) = (sealed.trailer(), sealed.document());
    match choice & 2 == 0 {
        true => trailer.edit(&mut input, choice & 1 != 0),
        false => file.edit(&mut input, choice & 1 != 0),
    }
    let geometry = &sealed.geometry;
    let len = match choice >> 2 & 7 {
        0 => geometry.trailer_offset(),
        1 => geometry.superblock_b_offset(),
        2 => geometry.table_offset() + 100,
        3 => geometry.sealed_len(),
        _ => geometry.data_len(),
    };
    if file.bytes == whole {
        file.bytes.truncate(len as usize);
    }

    let place = Place::new();
    place.write("file.sealed", &file.bytes);
    place.write("trailer", &trailer.bytes);
    let before = place.look();
    let (to, from) = (place.path("file.sealed"), place.path("trailer"));
    match import_trailer(&to, &from, identities(), &Control::silent()) {
        Ok(_) => {
            let now = place.look();
            assert_eq!(now.names(), before.names(), "names after an import");
            assert!(now.content("file.sealed") == Some(&whole[..]), "an import made another file");
            assert!(now.content("trailer") == before.content("trailer"), "an import changed what it read");
        }
        Err(error) => {
            assert_refusal(&error, "import");
            before.assert_same(&place.look(), "a refused import");
        }
    }
}

fn files() -> &'static [Sealed] {
    static FILES: OnceLock<Vec<Sealed>> = OnceLock::new();
    FILES.get_or_init(|| [0, 1, 5000, 65536, 70_000].into_iter().map(Sealed::new).collect())
}
