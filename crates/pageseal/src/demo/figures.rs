//! The figures of a demonstration, as a program reads them.

use std::path::PathBuf;

use pageseal_crypto::Suite;
use pageseal_storage::usage::ProcessUsage;
use serde::{Serialize, Serializer};

/// What was measured. `Serialize` gives the machine output; `Display` a text for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DemoReport {
    /// Length of each file in bytes.
    pub bytes: u64,
    /// Workers, and parts of the file.
    pub threads: usize,
    /// Chunks that were sealed; 1, an empty one, for an empty file.
    pub chunks: u64,
    /// The XOR.
    pub xor: XorFigures,
    /// The authenticated encryption.
    pub aead: AeadFigures,
    /// Page faults of the process while it mapped, filled and worked.
    pub faults: PerJob<FaultCounts>,
    /// Growth of the resident memory of the process over the same time.
    pub memory: PerJob<MemoryGrowth>,
    /// Bytes that were checked after each job. Not in the machine output.
    #[serde(skip)]
    pub verified_bytes: PerJob<u64>,
    /// Files that were left there because the caller asked for it. Not in the machine output.
    #[serde(skip)]
    pub kept: Vec<PathBuf>,
}

/// The same figure for both jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PerJob<T> {
    /// For the XOR.
    pub xor: T,
    /// For the authenticated encryption.
    pub aead: T,
}

/// Time of the XOR.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct XorFigures {
    /// Wall time of handing out, working and waiting.
    pub seconds: f64,
    /// Gigabytes (10^9 bytes) a second.
    pub gb_per_s: f64,
    /// Every byte was checked to be 0xEB.
    pub verified: bool,
}

/// Time of the authenticated encryption.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AeadFigures {
    /// The suite, the default one for this processor.
    #[serde(serialize_with = "suite_name")]
    pub suite: Suite,
    /// Wall time of handing out, working and waiting.
    pub seconds: f64,
    /// Gigabytes (10^9 bytes) a second.
    pub gb_per_s: f64,
    /// Every chunk was opened in private memory and every byte of it was checked to be 0x41.
    pub verified: bool,
}

/// Page faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FaultCounts {
    /// The page was in memory already.
    pub minor: u64,
    /// It had to be read, or made in the page cache for space that was only reserved.
    pub major: u64,
}

/// By how much resident memory grew; negative if it shrank. The kernel's own figures can be off by some
/// hundred KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryGrowth {
    /// Memory of this process alone.
    pub private_growth_bytes: i64,
    /// Pages of files and of shared memory.
    pub shared_growth_bytes: i64,
}

impl FaultCounts {
    pub(super) fn between(before: &ProcessUsage, after: &ProcessUsage) -> Self {
        FaultCounts {
            minor: after.minor_faults.saturating_sub(before.minor_faults),
            major: after.major_faults.saturating_sub(before.major_faults),
        }
    }
}

impl MemoryGrowth {
    pub(super) fn between(before: &ProcessUsage, after: &ProcessUsage) -> Self {
        MemoryGrowth {
            private_growth_bytes: growth(before.private_resident_bytes, after.private_resident_bytes),
            shared_growth_bytes: growth(before.shared_resident_bytes, after.shared_resident_bytes),
        }
    }
}

/// Exact, because no resident memory reaches 2^63 bytes.
fn growth(before: u64, after: u64) -> i64 {
    after.wrapping_sub(before) as i64
}

fn suite_name<S: Serializer>(suite: &Suite, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(suite.name())
}
