//! `cargo bench -p pageseal-storage`: XOR of a cached temporary file through each store, on one thread.

use std::fs::File;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pageseal_storage::bench_access::UnpopulatedMapping;
use pageseal_storage::{BufferedFile, MappedFile, MappedRange, POPULATE_STEP_BYTES, Storage};

const LEN: usize = 32 << 20;
const MASK: u8 = 0xAA;

fn cached_file() -> File {
    let file = tempfile::tempfile().expect("a folder for temporary files");
    let storage = BufferedFile::new(file);
    storage.write_all_at(&vec![0x41; LEN], 0).expect("32 MiB of space");
    storage.into_file()
}

fn xor(bytes: &mut [u8]) {
    for byte in bytes {
        *byte ^= MASK;
    }
}

fn stores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("xor_in_place");
    group.throughput(Throughput::Bytes(LEN as u64)).sample_size(20);

    let file = cached_file();
    // With mapping and unmapping, as a job pays for them.
    group.bench_function("mapped_plain_faults", |bencher| {
        bencher.iter(|| {
            let mapping = UnpopulatedMapping::new(&file, LEN as u64).expect("mmap");
            mapping.with_all(&mut xor).expect("no fault is an error");
        });
    });
    group.bench_function("mapped_populated", |bencher| {
        bencher.iter(|| {
            let mapped = MappedFile::new(file.try_clone().expect("a descriptor"), LEN as u64).expect("mmap");
            for offset in (0..LEN).step_by(POPULATE_STEP_BYTES) {
                mapped.with_range(offset as u64, POPULATE_STEP_BYTES, &mut xor).expect("the range is free");
            }
        });
    });
    let buffered = BufferedFile::new(file);
    for tile_len in [64 << 10, 512 << 10, 2 << 20] {
        let mut tile = vec![0; tile_len];
        group.bench_function(BenchmarkId::new("buffered", tile_len), |bencher| {
            bencher.iter(|| {
                for offset in (0..LEN).step_by(tile_len) {
                    buffered.read_exact_at(&mut tile, offset as u64).expect("pread");
                    xor(&mut tile);
                    buffered.write_all_at(&tile, offset as u64).expect("pwrite");
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, stores);
criterion_main!(benches);
