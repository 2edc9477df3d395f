//! Private memory and extra disk stay within their bounds while a job runs, whatever the file's size. A binary of its own,
//! because memory is the whole process's.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;

use pageseal::{
    Cancellation, Control, DecryptOptions, EncryptOptions, IoChoice, Progress, ResilienceChoice,
    decrypt_in_place, encrypt_in_place,
};
use pageseal_storage::usage::ProcessUsage;
use support::{Keys, folder, write_content};

/// Long enough for windows of the largest size that is kept in memory.
const LEN: u64 = 800 << 20;
const MIB: u64 = 1 << 20;

/// Looks at memory and journal whenever a window is settled.
struct Watcher {
    journal: PathBuf,
    most: Mutex<(u64, u64)>,
}

impl Progress for Watcher {
    fn advance(&self, _: u64) {
        let private = ProcessUsage::now().unwrap().private_resident_bytes;
        let journal = fs::metadata(&self.journal).map_or(0, |metadata| metadata.blocks() * 512);
        let mut most = self.most.lock().unwrap();
        *most = (most.0.max(private), most.1.max(journal));
    }
}

#[test]
fn jobs_stay_within_128_mib_of_private_memory_and_their_extra_disk() {
    let folder = folder();
    let keys = Keys::new(folder.path());
    let plain = folder.path().join("file");
    write_content(&plain, LEN, 4);
    let cases = [
        (IoChoice::Buffered, ResilienceChoice::Checksum, 64 * 1024, 64 * MIB),
        (IoChoice::Buffered, ResilienceChoice::Journal, 64 * 1024, 256 * MIB),
        (IoChoice::Direct, ResilienceChoice::Checksum, 64 * 1024, 64 * MIB),
        (IoChoice::Direct, ResilienceChoice::Journal, 64 * 1024, 256 * MIB),
        (IoChoice::Mmap, ResilienceChoice::Journal, 64 * 1024, 256 * MIB),
        (IoChoice::Mmap, ResilienceChoice::Journal, MIB, 256 * MIB),
    ];
    for (io, resilience, chunk_len_bytes, disk_bound) in cases {
        let case = format!("{io:?}, {resilience:?}, chunks of {chunk_len_bytes}");
        let watcher =
            Watcher { journal: folder.path().join("file.pageseal-journal"), most: Mutex::new((0, 0)) };
        let control = Control { progress: &watcher, cancellation: Cancellation::new() };
        let options = EncryptOptions { io, resilience, chunk_len_bytes, ..EncryptOptions::default() };
        let report =
            encrypt_in_place(&plain, std::slice::from_ref(&keys.recipient), &options, &control).unwrap();
        let sealed = report.path.unwrap();
        let trailer = fs::metadata(&sealed).unwrap().len() - LEN;
        assert!(trailer <= LEN * 11 / 10_000 + 65536, "{case}: trailer of {trailer}");
        let options = DecryptOptions { io, resilience, ..DecryptOptions::default() };
        decrypt_in_place(&sealed, &keys.identities(), &options, &control).unwrap();
        let (private, journal) = *watcher.most.lock().unwrap();
        assert!(private > 0 && private <= 128 * MIB, "{case}: {private} bytes of private memory");
        assert!(journal > 0, "{case}: the journal was not seen");
        assert!(trailer + journal <= LEN * 11 / 10_000 + disk_bound, "{case}: {journal} bytes of journal");
        println!("{case}: {} KiB private, {} KiB of journal", private / 1024, journal / 1024);
    }
}
