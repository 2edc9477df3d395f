//! A job on a disk that remembers, and the states that a power cut could have left that disk in.
//!
//! The model: what was written before a flush is on the medium; of each later write any part may be missing, sector by
//! sector, in any combination.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pageseal_testkit::Generator;

use super::disk::Event;
use super::image::copy_image;
use super::stop::{At, Outcome};
use super::subject::Form;

/// All that a disk writes atomically.
const SECTOR: usize = 512;

/// What a job did to a disk.
pub struct Recording {
    /// The disk before; unmounted cleanly, and its file is in the form that the job begins with.
    pub base: PathBuf,
    /// What happened, mounting and unmounting included.
    pub events: Vec<Event>,
    /// Where the job begins.
    pub begin: usize,
    /// From here on the job has said that it is done.
    pub end: usize,
    /// What it has made of the file then.
    pub form: Form,
}

/// What of the writes since the last flush is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the disk stops between two writes.
    Nothing,
    /// All of them.
    Everything,
    /// Each sector is kept with this chance.
    Sectors {
        /// In percent.
        kept: u64,
    },
    /// Each write is kept whole with this chance.
    Writes {
        /// In percent.
        kept: u64,
    },
}

impl Loss {
    /// One of them, most often torn ones.
    pub fn draw(generator: &mut Generator) -> Self {
        match generator.below(10) {
            0 => Loss::Nothing,
            1 => Loss::Everything,
            2..=7 => Loss::Sectors { kept: *generator.pick(&[10, 50, 90, 97]) },
            _ => Loss::Writes { kept: *generator.pick(&[20, 50, 80]) },
        }
    }

    /// The same at the grain that a file system must bear without checksums of its own.
    pub fn without_torn_writes(self) -> Self {
        match self {
            Loss::Sectors { kept } => Loss::Writes { kept },
            other => other,
        }
    }

    fn apply(self, disk: &File, events: &[Event], generator: &mut Generator) -> std::io::Result<()> {
        for event in events {
            let Event::Write { offset, bytes } = event else { continue };
            match self {
                Loss::Everything => {}
                Loss::Nothing => disk.write_all_at(bytes, *offset)?,
                Loss::Writes { kept } => {
                    if generator.below(100) < kept {
                        disk.write_all_at(bytes, *offset)?;
                    }
                }
                Loss::Sectors { kept } => {
                    for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                        if generator.below(100) < kept {
                            disk.write_all_at(sector, offset + (index * SECTOR) as u64)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// A disk that is brought forward flush by flush.
pub struct Medium<'a> {
    recording: &'a Recording,
    path: PathBuf,
    disk: File,
    /// Events before this one are on the medium.
    durable: usize,
}

impl<'a> Medium<'a> {
    /// The disk as it was in the beginning, in a file at `path`.
    pub fn new(recording: &'a Recording, path: PathBuf) -> Outcome<Self> {
        copy_image(&recording.base, &path)?;
        let disk = File::options().read(true).write(true).open(&path).at("open", &path)?;
        Ok(Medium { recording, path, disk, durable: 0 })
    }

    /// Goes on to a cut before event `point`, which must not lie before the last one.
    pub fn advance(&mut self, point: usize) -> Outcome<()> {
        let events = &self.recording.events[self.durable..point];
        let flush = events.iter().rposition(|event| matches!(event, Event::Flush));
        let Some(flush) = flush else { return Ok(()) };
        let mut unused = Generator::new(0);
        Loss::Nothing.apply(&self.disk, &events[..flush], &mut unused).at("write", &self.path)?;
        self.durable += flush + 1;
        Ok(())
    }

    /// Makes a disk at `path` as a cut before event `point` leaves it. Returns how many writes were not flushed.
    pub fn cut(&self, point: usize, loss: Loss, generator: &mut Generator, path: &Path) -> Outcome<usize> {
        copy_image(&self.path, path)?;
        let disk = File::options().write(true).open(path).at("open", path)?;
        let unflushed = &self.recording.events[self.durable..point];
        loss.apply(&disk, unflushed, generator).at("write", path)?;
        Ok(unflushed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: u64, byte: u8) -> Event {
        Event::Write { offset, bytes: vec![byte; 1024].into() }
    }

    fn recording(folder: &Path) -> Recording {
        let base = folder.join("base");
        std::fs::write(&base, [0; 4096]).unwrap();
        let events = vec![write(0, 1), Event::Flush, write(1024, 2), write(0, 3)];
        Recording { base, events, begin: 0, end: 4, form: Form::Plain }
    }

    fn state(point: usize, loss: Loss, seed: u64) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let recording = recording(folder.path());
        let mut medium = Medium::new(&recording, folder.path().join("medium")).unwrap();
        medium.advance(point).unwrap();
        let path = folder.path().join("state");
        medium.cut(point, loss, &mut Generator::new(seed), &path).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn what_was_flushed_stays() {
        assert_eq!(state(1, Loss::Everything, 1)[..1024], [0; 1024]);
        assert_eq!(state(4, Loss::Everything, 1)[..1024], [1; 1024]);
        assert_eq!(state(4, Loss::Everything, 1)[1024..2048], [0; 1024]);
        assert_eq!(state(4, Loss::Nothing, 1)[..2048], [[3; 1024], [2; 1024]].concat());
    }

    #[test]
    fn sectors_are_torn_and_never_bytes() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let disk = state(4, Loss::Sectors { kept: 50 }, seed);
            for sector in disk.chunks(SECTOR) {
                assert!(sector.iter().all(|byte| *byte == sector[0]));
            }
            seen.insert([disk[0], disk[SECTOR], disk[2 * SECTOR], disk[3 * SECTOR]]);
        }
        // Two sectors old or new, twice: all sixteen combinations.
        assert_eq!(seen.len(), 16);
    }

    #[test]
    fn whole_writes_are_not_torn() {
        for seed in 0..64 {
            let disk = state(4, Loss::Writes { kept: 50 }, seed);
            assert_eq!(disk[0], disk[SECTOR]);
            assert_eq!(disk[2 * SECTOR], disk[3 * SECTOR]);
        }
    }
}
