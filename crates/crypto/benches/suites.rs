//! `cargo bench -p pageseal-crypto`: sealing, opening and fingerprints of one chunk, on one thread.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pageseal_crypto::{
    BLOCK_BYTES, ChunkMeta, DerivedKeys, FileKey, Fingerprint, KeyContext, Suite, block_count,
};

const CHUNK_LENGTHS: [usize; 2] = [64 << 10, 1 << 20];

fn keys(suite: Suite) -> DerivedKeys {
    let context = KeyContext { suite, chunk_log2: 16, file_id: [7; 16] };
    DerivedKeys::derive(&FileKey::from_bytes([3; 32]), &context)
}

/// One nonce again and again: nothing that is sealed here leaves the process.
const META: ChunkMeta = ChunkMeta { index: 5, is_final: false, nonce: [9; 24], epoch: 0, flags: 0 };

fn suites(criterion: &mut Criterion) {
    for suite in Suite::ALL {
        let keys = keys(suite);
        let mut group = criterion.benchmark_group(suite.name());
        for len in CHUNK_LENGTHS {
            group.throughput(Throughput::Bytes(len as u64));
            let mut chunk = vec![0x41; len];
            group.bench_function(BenchmarkId::new("seal", len), |bencher| {
                bencher.iter(|| keys.chunk.seal_in_place(&META, black_box(&mut chunk)));
            });
            let mut sealed = vec![0x41; len];
            let tag = keys.chunk.seal_in_place(&META, &mut sealed);
            group.bench_function(BenchmarkId::new("open", len), |bencher| {
                // Opening takes the ciphertext away, so each run gets a copy, which is not in its time.
                bencher.iter_batched_ref(
                    || sealed.clone(),
                    |chunk| keys.chunk.open_in_place(&META, &tag, black_box(chunk)),
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

fn fingerprints(criterion: &mut Criterion) {
    let keys = keys(Suite::Aegis256X2);
    let mut group = criterion.benchmark_group("fingerprints");
    for len in [BLOCK_BYTES, 64 << 10, 1 << 20] {
        group.throughput(Throughput::Bytes(len as u64));
        let bytes = vec![0x41; len];
        let mut prints = vec![Fingerprint::default(); block_count(len)];
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| keys.fingerprint.blocks(1, 0, black_box(&bytes), &mut prints));
        });
    }
    group.finish();
}

criterion_group!(benches, suites, fingerprints);
criterion_main!(benches);
