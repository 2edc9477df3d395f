//! Which store a file gets, where the caller left that open.

use std::fs::File;
use std::sync::Arc;

use pageseal_storage::available::available_memory_bytes;
use pageseal_storage::residency::cached_bytes;
use pageseal_storage::{DirectFile, FileSystemKind, Medium};

use super::plan::Io;
use crate::control::{Control, Notice};
use crate::options::IoChoice;
use crate::target::OpenedTarget;

/// Chooses the store for a file, and opens it for direct I/O if it gets that.
pub(crate) fn choose_store(choice: IoChoice, opened: &mut OpenedTarget, control: &Control<'_>) -> Io {
    match choice {
        IoChoice::Mmap => return Io::Mmap,
        IoChoice::Buffered => return Io::Buffered,
        IoChoice::Direct => {}
        IoChoice::Auto if suits_direct(&opened.file, &opened.medium) => {}
        IoChoice::Auto => return Io::Buffered,
    }
    match opened.file.try_clone().map_err(Into::into).and_then(DirectFile::open) {
        Ok(direct) => {
            opened.target.direct = Some(Arc::new(direct));
            Io::Direct
        }
        Err(error) => {
            if choice == IoChoice::Direct {
                control.progress.notice(&Notice::DirectRefused { reason: error.to_string() });
            }
            Io::Buffered
        }
    }
}

/// Through the page cache a file that fits is read and written at the speed of memory, and the disk has only to write it. One that
/// does not fit would push everything else out, and then itself; unless most of it is there already.
fn suits_direct(file: &File, medium: &Medium) -> bool {
    let Ok(len_bytes) = file.metadata().map(|metadata| metadata.len()) else { return false };
    // Elsewhere blocks are not overwritten where they are, and nothing is gained.
    let overwrites = matches!(medium.kind, FileSystemKind::Ext4 | FileSystemKind::Xfs | FileSystemKind::F2fs);
    let fits = available_memory_bytes().is_ok_and(|available| len_bytes <= available / 2);
    if !overwrites || medium.copy_on_write || fits {
        return false;
    }
    // Where that cannot be told, a file that does not fit is not there.
    cached_bytes(file, 0, len_bytes).is_none_or(|cached| cached < len_bytes / 2)
}
