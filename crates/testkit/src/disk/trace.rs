//! What happened to a disk, operation by operation, and what was there after each.

use pageseal_storage::STORE_UNIT_BYTES;

use super::state::State;
use crate::Generator;

/// How bytes are stored, which decides what a kill and a power cut leave of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storing {
    /// By a system call.
    Call,
    /// By a system call past the page cache, which goes on when the process is killed.
    Direct,
    /// By instructions, in any order.
    Mapped,
    /// By instructions, in the order of addresses.
    MappedInOrder,
}

/// Where a store in order can have been stopped: how many of so many bytes are new.
pub(crate) fn places_of_a_cut(len: usize) -> Vec<usize> {
    let whole = len - len % STORE_UNIT_BYTES;
    (0..whole).step_by(STORE_UNIT_BYTES).chain(whole..=len).collect()
}

/// An operation that changes something, or makes it durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Bytes were written, or stored into a mapping.
    Write {
        /// Of which file.
        inode: u64,
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
        /// In which way.
        how: Storing,
    },
    /// A file was cut or grew, or space was reserved for it.
    Length {
        /// Of which file.
        inode: u64,
    },
    /// A file was synced.
    Sync {
        /// Which.
        inode: u64,
    },
    /// A file without a name was made.
    Create,
    /// A name changed.
    Name,
    /// The folder was synced.
    SyncFolder,
}

impl Operation {
    /// The operation without its bytes, which are ciphertext and differ from run to run where the system drew a key.
    #[must_use]
    pub fn place(&self) -> Operation {
        match self {
            Operation::Write { inode, offset, how, .. } => {
                Operation::Write { inode: *inode, offset: *offset, bytes: Vec::new(), how: *how }
            }
            other => other.clone(),
        }
    }
}

/// A moment of a run.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The number of the operation among all that changed something.
    pub number: u64,
    /// What was done last.
    pub operation: Operation,
    /// What was there before it; `None` unless it was a write.
    pub before: Option<State>,
    /// What is there after it.
    pub after: State,
}

/// Which moments of a run are kept.
#[derive(Clone, Debug, Default)]
pub(super) enum Recording {
    #[default]
    Off,
    All(Vec<Moment>),
    /// Those of these numbers; for files too large to keep them all.
    Some(Vec<u64>, Vec<Moment>),
    /// So many, any of them with the same chance: a large file with all its changes does not fit into memory.
    Sample {
        most: usize,
        seen: u64,
        generator: Generator,
        kept: Vec<Moment>,
    },
}

impl Recording {
    pub(super) fn wants(&mut self, number: u64) -> bool {
        match self {
            Recording::Off => false,
            Recording::All(_) => true,
            Recording::Some(numbers, _) => numbers.contains(&number),
            Recording::Sample { most, seen, generator, .. } => {
                *seen += 1;
                generator.below(*seen) < *most as u64
            }
        }
    }

    pub(super) fn push(&mut self, moment: Moment) {
        match self {
            Recording::Off => {}
            Recording::All(moments) | Recording::Some(_, moments) => moments.push(moment),
            Recording::Sample { most, generator, kept, .. } => {
                if kept.len() == *most {
                    kept.swap_remove(generator.below(*most as u64) as usize);
                }
                kept.push(moment);
            }
        }
    }
}
