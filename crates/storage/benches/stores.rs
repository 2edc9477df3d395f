//! `cargo bench -p pageseal-storage`: XOR of a temporary file through each store, on one thread; cached, but for direct I/O.

use std::fs::File;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pageseal_storage::bench_access::UnpopulatedMapping;
use pageseal_storage::{
    BufferedFile, DirectFile, MappedFile, MappedRange, POPULATE_STEP_BYTES, PrivateBuffer, Storage,
};

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
    direct(&mut group);
    group.finish();
}

/// By requests of a job's sizes: a window of a short file, and the largest that stays in memory.
fn direct(group: &mut BenchmarkGroup<'_, WallTime>) {
    // On a disk, which a folder for temporary files need not be.
    let file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's own folder");
    let file = BufferedFile::new(file);
    file.write_all_at(&vec![0x41; LEN], 0).expect("32 MiB of space");
    let direct = match DirectFile::open(file.into_file()) {
        Ok(direct) => direct,
        Err(error) => return eprintln!("direct: not measured, {error}"),
    };
    for window_len in [4 << 20, 16 << 20] {
        let mut window = PrivateBuffer::new(window_len).expect("memory");
        group.bench_function(BenchmarkId::new("direct", window_len), |bencher| {
            bencher.iter(|| {
                for offset in (0..LEN).step_by(window_len) {
                    direct.read_exact_at(window.as_mut_slice(), offset as u64).expect("a read");
                    xor(window.as_mut_slice());
                    direct.write_all_at(window.as_mut_slice(), offset as u64).expect("a write");
                }
            });
        });
    }
}

criterion_group!(benches, stores);
criterion_main!(benches);
