//! How fast the suite that the product takes by default opens chunks that lie in a tile already: the part of `verify` that is not
//! reading. Usage: `pageseal-suite-speed THREADS BYTES`; prints one JSON object. `BYTES` are opened by all threads
//! together, and `seconds` is what each of them needed for its share, on average, without the sealing in between.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use pageseal_crypto::{ChunkMeta, DerivedKeys, FileKey, KeyContext, NONCE_BYTES, Suite};

const CHUNK_BYTES: usize = 64 << 10;
/// As the product's workers: about a core's share of L2.
const TILE_CHUNKS: usize = 8;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [threads, bytes] = numbers[..] else { return usage() };
    if !(1..=64).contains(&threads) || bytes == 0 {
        return usage();
    }
    let suite = Suite::default_for_cpu();
    let rounds = bytes.div_ceil(threads * (TILE_CHUNKS * CHUNK_BYTES) as u64);
    let spent: Vec<Duration> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(move || open_tiles(suite, rounds))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect()
    });
    if spent.iter().any(Duration::is_zero) {
        eprintln!("pageseal-suite-speed: a chunk did not open again");
        return ExitCode::FAILURE;
    }
    let seconds = spent.iter().sum::<Duration>().as_secs_f64() / threads as f64;
    let done = rounds * threads * (TILE_CHUNKS * CHUNK_BYTES) as u64;
    println!(
        "{{\"suite\":\"{}\",\"threads\":{threads},\"bytes\":{done},\"seconds\":{seconds:.9}}}",
        suite.name()
    );
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: pageseal-suite-speed THREADS BYTES");
    ExitCode::from(2)
}

/// Time spent on opening; zero if a chunk failed. What was opened must be sealed again to be opened once more, which is not timed.
fn open_tiles(suite: Suite, rounds: u64) -> Duration {
    let Ok(file_key) = FileKey::random() else { return Duration::ZERO };
    let keys = DerivedKeys::derive(&file_key, &KeyContext { suite, chunk_log2: 16, file_id: [7; 16] });
    let mut tile = vec![0x41_u8; TILE_CHUNKS * CHUNK_BYTES];
    let mut spent = Duration::ZERO;
    for round in 0..rounds {
        let meta = |index: usize| {
            let chunk = round * TILE_CHUNKS as u64 + index as u64;
            let mut nonce = [0; NONCE_BYTES];
            nonce[..8].copy_from_slice(&chunk.to_le_bytes());
            ChunkMeta { index: chunk, is_final: false, nonce, epoch: 0, flags: 0 }
        };
        let tags: Vec<_> = tile
            .chunks_mut(CHUNK_BYTES)
            .enumerate()
            .map(|(index, chunk)| keys.chunk.seal_in_place(&meta(index), chunk))
            .collect();
        let started = Instant::now();
        for ((index, chunk), tag) in tile.chunks_mut(CHUNK_BYTES).enumerate().zip(&tags) {
            if keys.chunk.open_in_place(&meta(index), tag, chunk).is_err() {
                return Duration::ZERO;
            }
        }
        spent += started.elapsed();
    }
    spent
}
