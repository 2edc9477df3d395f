//! Waiting for the direct I/O of others, whoever they are and whether they still live.

use std::fs::File;
use std::io;

use rustix::fs::{FallocateFlags, SeekFrom, fstatfs, seek};
use rustix::io::Errno;

use crate::medium::{FileSystemKind, lies_in_inode};
use crate::{extents, space};

/// See [`Storage::drain_requests`](crate::Storage::drain_requests).
///
/// ext4 and XFS wait in every `fallocate` until no direct request is in flight on the inode
/// (`inode_dio_wait`), because such a request may complete in blocks that the call is about to change.
/// So space is asked for where the file has some already: the call changes no block and waits all the same.
/// A file that lies in its inode has no block that a request could be on its way to, and the call would move its content
/// into one, which can lose it ([`inline_data`](crate::inline_data)).
/// Btrfs waits for all ordered extents of a file, which direct writes are too, before it tells where they lie.
/// On others direct I/O is not used by jobs ([`Medium::waits_for_direct_requests`](crate::Medium)).
pub(crate) fn drain_direct_requests(file: &File) -> io::Result<()> {
    #[allow(clippy::unnecessary_cast)]
    let magic = u64::from(fstatfs(file)?.f_type as u32);
    if FileSystemKind::from_magic(magic) == FileSystemKind::Btrfs {
        return extents::wait_for_ordered(file);
    }
    if lies_in_inode(file) {
        return Ok(());
    }
    let allocated = match seek(file, SeekFrom::Data(0)) {
        Ok(start) => start,
        // Where there is no block there is nothing that a job could have written past the cache.
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    match space::allocate(file, FallocateFlags::KEEP_SIZE, allocated, 1) {
        Err(error) if space::is_unsupported(&error) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    #[test]
    fn neither_content_nor_length_nor_space_changes() {
        for (len, content) in [(0, &b""[..]), (5, b"bytes"), (1 << 20, b"a hole behind")] {
            let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
            file.write_all_at(content, 0).unwrap();
            file.set_len(len).unwrap();
            file.sync_all().unwrap();
            let before = file.metadata().unwrap();
            drain_direct_requests(&file).unwrap();
            let after = file.metadata().unwrap();
            assert_eq!((before.len(), before.blocks()), (after.len(), after.blocks()));
            let mut found = vec![0; content.len()];
            file.read_exact_at(&mut found, 0).unwrap();
            assert_eq!(found, content);
        }
    }
}
