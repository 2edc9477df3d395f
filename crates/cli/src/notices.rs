//! The library's notices in words.

use pageseal::Notice;

use crate::shell_quote::shell_quote;

/// The name of a notice in JSON.
pub fn notice_kind(notice: &Notice) -> &'static str {
    match notice {
        Notice::SuperblockCopyDamaged { .. } => "superblock_copy_damaged",
        Notice::SlotAreaDamaged { .. } => "slot_area_damaged",
        Notice::OldBlocksMayStay => "old_blocks_may_stay",
        Notice::JournalNotBeside { .. } => "journal_not_beside",
        Notice::LowerLayerMayKeep => "lower_layer_may_keep",
        Notice::JournalResilienceChosen { .. } => "journal_resilience_chosen",
        Notice::DirectRefused { .. } => "direct_refused",
        Notice::WaitsForRequests { .. } => "waits_for_requests",
        Notice::RecoversThroughCache => "recovers_through_cache",
        Notice::NoJobKey => "no_job_key",
        Notice::JobKeyOnDisk => "job_key_on_disk",
        Notice::JobKeyLeft { .. } => "job_key_left",
        Notice::SecondNameRemoved { .. } => "second_name_removed",
        Notice::ChunkChangedSinceOpened { .. } => "chunk_changed_since_opened",
        Notice::NameKept { .. } => "name_kept",
        Notice::NameRefused { .. } => "name_refused",
        Notice::NameGone { .. } => "name_gone",
        Notice::ChangedWhileRead { .. } => "changed_while_read",
        Notice::JournalUnusable { .. } => "journal_unusable",
        Notice::AttributeLost { .. } => "attribute_lost",
        _ => "other",
    }
}

/// A notice as a sentence, and what may be done about it.
pub fn notice_text(notice: &Notice) -> String {
    match notice {
        Notice::SuperblockCopyDamaged { copy } => format!(
            "superblock copy {copy} is damaged, the other one was used; decrypt soon, or put an exported \
             trailer back"
        ),
        Notice::SlotAreaDamaged { copy } => format!(
            "slot area {copy} is damaged, the other one was used; decrypt soon, or put an exported trailer back"
        ),
        Notice::OldBlocksMayStay => {
            "this file system keeps old blocks (copy on write, snapshots, reflinks): \
             old plaintext may stay on the medium, and space cannot be promised"
                .into()
        }
        Notice::JournalNotBeside { journal, file_system } => format!(
            "this file is mounted alone, so its journal {} lies on {file_system}, not beside the file itself; if it is removed \
             (with a container) before the job ends, the file is lost: --journal PATH keeps it elsewhere",
            journal.display()
        ),
        Notice::LowerLayerMayKeep => {
            "this file lies on overlayfs: if it came from a lower layer (a container's image), its plaintext stays there, \
             whatever happens to it here"
                .into()
        }
        Notice::JournalResilienceChosen { file_system } => format!(
            "fingerprints are not sound on {file_system}, so whole windows go through the journal: about \
             twice the writing"
        ),
        Notice::DirectRefused { reason } => format!("{reason}; the file goes through the page cache instead"),
        Notice::WaitsForRequests { path } => format!(
            "a job on {} was killed, and writes that it had asked for are still on their way to the disk; \
             waiting for them (Ctrl-C gives up and changes nothing)",
            path.display()
        ),
        Notice::RecoversThroughCache => {
            "what the killed job left in flight is recovered through the page cache, and so the rest goes that way, too"
                .into()
        }
        Notice::NoJobKey => {
            "no folder in memory was found for the job key: resume and rollback will need an \
             identity or the passphrase"
                .into()
        }
        Notice::JobKeyOnDisk => {
            "the job key lies in the journal on disk; flash may keep it after it is wiped".into()
        }
        Notice::JobKeyLeft { key } => format!(
            "the key of this job, which is over, could not be removed; with a copy of its journal it opens the file: remove {}",
            shell_quote(key)
        ),
        Notice::SecondNameRemoved { name } => format!(
            "the finished file also had its old name {}, as a renaming that was cut off leaves it; that name was removed",
            name.display()
        ),
        Notice::ChunkChangedSinceOpened { chunk } => {
            format!("chunk {chunk} was changed since it was opened, so it was sealed anew with its changes")
        }
        Notice::NameKept { kept, wanted } => {
            format!("{} exists, so the finished file kept the name {}", wanted.display(), kept.display())
        }
        Notice::NameRefused { kept, wanted, reason } => format!(
            "the system does not let the finished file be named {} ({reason}), so it kept the name {}",
            wanted.display(),
            kept.display()
        ),
        Notice::NameGone { name } => format!(
            "{} was moved, deleted or replaced, so no name was changed; the finished file keeps whatever name it has now",
            name.display()
        ),
        Notice::ChangedWhileRead { path } => format!(
            "{} was changed while it was read, so the copy may be of no one moment; if that matters, run it again \
             when nobody writes to it",
            path.display()
        ),
        Notice::JournalUnusable { journal, what } => {
            format!("the journal {} cannot be used: {what}", journal.display())
        }
        Notice::AttributeLost { attribute } => format!("could not carry over: {attribute}"),
        other => format!("{other:?}"),
    }
}
