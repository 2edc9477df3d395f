//! Where a file and its journal lie, and whether a job keeps its promises there. Reads only.

use std::fs::File;
use std::path::Path;

use pageseal_format::journal::{Direction, Phase, PhaseRecord};
use pageseal_storage::inline_data::{empty_ext4_journal, stays_in_inode};
use pageseal_storage::{FileSystemKind, Medium};

use super::resume::Wish;
use crate::error::Refusal;
use crate::target::OpenedTarget;

/// Refuses a file whose content lies in its inode, or did so a short time ago: the file system may write the old content
/// over what a job stores in place. Where files in inodes are possible at all, what its journal still has of them is
/// written first, and where that is not allowed, nothing shows that this file is safe.
pub(crate) fn check_inline_data(opened: &OpenedTarget) -> Result<(), Refusal> {
    let OpenedTarget { target, file, medium } = opened;
    check_not_in_inode(&target.path, file, medium)?;
    // A folder that cannot be tried says nothing, and hardly any file system has this.
    let is_possible =
        medium.kind == FileSystemKind::Ext4 && target.folder.takes_small_files_into_inodes().unwrap_or(false);
    if is_possible && let Err(source) = empty_ext4_journal(file) {
        return Err(Refusal::OldCopyMayReturn { path: target.path.clone(), source });
    }
    Ok(())
}

/// Refuses a file whose content lies in its inode.
pub(crate) fn check_not_in_inode(path: &Path, file: &File, medium: &Medium) -> Result<(), Refusal> {
    if medium.inline_data && stays_in_inode(file) {
        return Err(Refusal::InlineData { path: path.to_path_buf(), file_system: medium.kind.name() });
    }
    Ok(())
}

/// Refuses to go on with a job where it would lose what it promises, though it began where it did not.
pub(crate) fn check_continuation(
    opened: &OpenedTarget,
    phase: Option<&PhaseRecord>,
    wish: Wish,
) -> Result<(), Refusal> {
    if stores_chunks(phase, wish) { check_inline_data(opened) } else { Ok(()) }
}

/// Whether going on may store chunks. If not, it holds anywhere: what it writes was never read, or is cut off.
fn stores_chunks(phase: Option<&PhaseRecord>, wish: Wish) -> bool {
    let Some(phase) = phase else { return true };
    let turns_back = wish == Wish::Backward && phase.direction == Direction::Forward;
    match phase.phase {
        Phase::Created | Phase::Grown => wish == Wish::Forward,
        Phase::Running => true,
        Phase::DataDone => turns_back,
        Phase::Truncating | Phase::Finished => false,
    }
}
