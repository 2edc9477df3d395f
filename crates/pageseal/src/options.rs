//! What a caller may choose.

use std::path::PathBuf;

use pageseal_crypto::Suite;

/// How bytes are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoChoice {
    /// The best sound store for the file and its file system.
    #[default]
    Auto,
    /// Stores into a shared mapping. Sound against power loss only with whole windows in the journal.
    Mmap,
    /// Reads into a private tile, seals there, writes whole blocks.
    Buffered,
    /// Past the page cache (`O_DIRECT`): for files that do not fit into memory, or are not in it. Each byte is read once and sealed in the buffer
    /// that it is written from. Where the file system refuses, `Buffered` is taken and
    /// [`Notice::DirectRefused`](crate::Notice::DirectRefused) says so.
    Direct,
}

/// What a job survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResilienceChoice {
    /// `Checksum` where the file system makes it sound, else `Journal`.
    #[default]
    Auto,
    /// Power loss: fingerprints of the old content in the journal.
    Checksum,
    /// Power loss: whole windows in the journal.
    Journal,
    /// SIGKILL, but not power loss.
    Process,
    /// Nothing: an interruption destroys data.
    None,
}

/// Where the key lies that lets `resume` and `rollback` of an encrypt run without an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobKeyMode {
    /// In memory-backed storage (tmpfs): gone after power loss.
    #[default]
    Runtime,
    /// In the journal, on disk, overwritten at the end.
    Disk,
    /// Nowhere.
    None,
}

/// Choices of an encryption, in place or not.
#[derive(Clone, Debug)]
pub struct EncryptOptions {
    /// AEAD; `None` takes the fastest sound one for this processor.
    pub suite: Option<Suite>,
    /// Chunk size in bytes: a power of two, 64 KiB to 1 MiB.
    pub chunk_len_bytes: u64,
    /// Store.
    pub io: IoChoice,
    /// Resilience.
    pub resilience: ResilienceChoice,
    /// Threads of the pool; `None` takes all cores.
    pub threads: Option<usize>,
    /// Job key.
    pub job_key: JobKeyMode,
    /// Journal somewhere else than beside the file.
    pub journal: Option<PathBuf>,
    /// Do not append `.sealed` to the name.
    pub keep_name: bool,
    /// Go on although the file has more than one hard link.
    pub allow_links: bool,
    /// Go on although less than 90 % of the file is allocated; holes come back on decrypt.
    pub allow_sparse: bool,
    /// Needed for [`ResilienceChoice::None`].
    pub accept_data_loss: bool,
    /// Give the output of an out-of-place run the owner, permissions, times and extended attributes of the input, as far as possible,
    /// but no set-id bits and no file capabilities. Without it the output is the running user's, and its permissions are those of the
    /// input less the umask.
    pub preserve: bool,
}

impl Default for EncryptOptions {
    fn default() -> Self {
        EncryptOptions {
            suite: None,
            chunk_len_bytes: 64 * 1024,
            io: IoChoice::Auto,
            resilience: ResilienceChoice::Auto,
            threads: None,
            job_key: JobKeyMode::Runtime,
            journal: None,
            keep_name: false,
            allow_links: false,
            allow_sparse: false,
            accept_data_loss: false,
            preserve: false,
        }
    }
}

/// Choices of a decryption, in place or not.
#[derive(Clone, Debug)]
pub struct DecryptOptions {
    /// Store.
    pub io: IoChoice,
    /// Resilience.
    pub resilience: ResilienceChoice,
    /// Threads of the pool; `None` takes all cores.
    pub threads: Option<usize>,
    /// Journal somewhere else than beside the file.
    pub journal: Option<PathBuf>,
    /// Do not take `.sealed` off the name.
    pub keep_name: bool,
    /// Authenticate every chunk before the first byte changes.
    pub verify_first: bool,
    /// Go on although the file has more than one hard link.
    pub allow_links: bool,
    /// Needed for [`ResilienceChoice::None`].
    pub accept_data_loss: bool,
    /// Give the output of an out-of-place run the owner, permissions, times and extended attributes of the input, as far as possible,
    /// but no set-id bits and no file capabilities. Without it the output is the running user's, and its permissions are those of the
    /// input less the umask.
    pub preserve: bool,
}

impl Default for DecryptOptions {
    fn default() -> Self {
        DecryptOptions {
            io: IoChoice::Auto,
            resilience: ResilienceChoice::Auto,
            threads: None,
            journal: None,
            keep_name: false,
            verify_first: true,
            allow_links: false,
            accept_data_loss: false,
            preserve: false,
        }
    }
}

/// Choices of `resume` and `rollback`.
#[derive(Clone, Debug, Default)]
pub struct ResumeOptions {
    /// Store; must suit the resilience that the job was started with.
    pub io: IoChoice,
    /// Threads of the pool; `None` takes all cores.
    pub threads: Option<usize>,
    /// Journal somewhere else than beside the file.
    pub journal: Option<PathBuf>,
    /// The explicit word that continuing a *decrypt* needs.
    pub decrypt: bool,
    /// Go on although chunks are in neither form: damaged, changed by somebody, or half stored by a run that the journal does not
    /// know, which only the right journal can mend. Plaintext to be sealed is sealed as it is. Every other such chunk stays as it is, and
    /// the job ends with [`crate::Damage::Chunk`] or [`crate::Damage::Chunks`]. Towards plain only where the job cannot end sealed;
    /// and a decrypt that is undone may leave plaintext there that it had opened.
    pub accept_damage: bool,
}
