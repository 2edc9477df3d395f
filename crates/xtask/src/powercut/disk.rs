//! A disk that remembers: one file of a FUSE file system of our own, below a loop device. Each write and each flush of the
//! file system above arrives here in its order. It can also break.
//!
//! It must never need the file system above it: what it stores lies in memory (tmpfs), and nothing here opens a path.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use super::stop::{At, Outcome};

const NAME: &str = "disk";
const FILE: INodeNo = INodeNo(2);
/// Nothing but this program changes what is told.
const FOREVER: Duration = Duration::from_secs(1 << 30);
const MAX_WRITE: u32 = 1 << 20;
/// More writes than are ever held.
const MAX_BACKGROUND: u16 = 4096;

/// What happened to the disk.
#[derive(Clone, Debug)]
pub enum Event {
    /// Bytes were written, perhaps into a cache only.
    Write {
        /// Where, in bytes.
        offset: u64,
        /// What.
        bytes: Box<[u8]>,
    },
    /// All that was written before is on the medium.
    Flush,
}

/// What is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Reads fail.
    Reads,
    /// Writes fail.
    Writes,
    /// Flushes fail.
    Flushes,
}

#[derive(Default)]
struct State {
    fault: Fault,
    events: Vec<Event>,
    is_recording: bool,
    faults_hit: u64,
    /// Writes of at least so many bytes are held.
    held_from_bytes: Option<usize>,
    held: Vec<HeldWrite>,
}

/// A write that the disk was asked for and has not done yet.
struct HeldWrite {
    offset: u64,
    bytes: Box<[u8]>,
    reply: ReplyWrite,
}

/// The mounted FUSE file system. Unmounted when dropped.
pub struct Disk {
    state: Arc<Mutex<State>>,
    server: Server,
    file: PathBuf,
    session: Option<BackgroundSession>,
}

impl Disk {
    /// Serves `image`, which is changed in place, as a file below `folder`.
    pub fn serve(image: &Path, folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder).at("create", folder)?;
        let backing = File::options().read(true).write(true).open(image).at("open", image)?;
        let len_bytes = backing.metadata().at("look at", image)?.len();
        let state = Arc::new(Mutex::new(State::default()));
        let server = Server { backing: Arc::new(backing), len_bytes, state: Arc::clone(&state) };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("pageseal-powercut".into())];
        let session = fuser::spawn_mount(server.clone(), folder, &config).at("mount FUSE on", folder)?;
        Ok(Disk { state, server, file: folder.join(NAME), session: Some(session) })
    }

    /// What to put a loop device on.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Begins to remember.
    pub fn record(&self) {
        lock(&self.state).is_recording = true;
    }

    /// Number of events so far.
    pub fn events(&self) -> usize {
        lock(&self.state).events.len()
    }

    /// Breaks or repairs the disk.
    pub fn set_fault(&self, fault: Fault) {
        lock(&self.state).fault = fault;
    }

    /// How many orders failed so far.
    pub fn faults_hit(&self) -> u64 {
        lock(&self.state).faults_hit
    }

    /// From now on, or no longer, writes of at least so many bytes are taken and not done, as by a disk that is behind. All else
    /// goes on. Wants a loop device that does not wait for one write before it sends the next.
    pub fn hold_writes_from(&self, bytes: Option<usize>) {
        lock(&self.state).held_from_bytes = bytes;
    }

    /// How many writes are held.
    pub fn held(&self) -> usize {
        lock(&self.state).held.len()
    }

    /// Does one of the held writes, chosen by this number. Whether there was one.
    pub fn land_one(&self, choice: u64) -> bool {
        let mut state = lock(&self.state);
        if state.held.is_empty() {
            return false;
        }
        let index = (choice % state.held.len() as u64) as usize;
        let write = state.held.swap_remove(index);
        drop(state);
        self.server.store(write.offset, &write.bytes, write.reply);
        true
    }

    /// Holds nothing any longer, and does all that was held.
    pub fn land_all(&self) {
        self.hold_writes_from(None);
        while self.land_one(0) {}
    }

    /// Takes the disk down and returns all that happened.
    pub fn take_down(mut self) -> Outcome<Vec<Event>> {
        if let Some(session) = self.session.take() {
            session.umount_and_join().at("unmount", &self.file)?;
        }
        Ok(std::mem::take(&mut lock(&self.state).events))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct Server {
    backing: Arc<File>,
    len_bytes: u64,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Whether this kind of order fails now.
    fn fails(&self, fault: Fault) -> bool {
        let mut state = lock(&self.state);
        let fails = state.fault == fault;
        state.faults_hit += u64::from(fails);
        fails
    }

    fn note(&self, event: impl FnOnce() -> Event) {
        let mut state = lock(&self.state);
        if state.is_recording {
            state.events.push(event());
        }
    }

    fn store(&self, offset: u64, bytes: &[u8], reply: ReplyWrite) {
        if self.fails(Fault::Writes) || self.backing.write_all_at(bytes, offset).is_err() {
            return reply.error(Errno::EIO);
        }
        self.note(|| Event::Write { offset, bytes: bytes.into() });
        reply.written(bytes.len() as u32);
    }

    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_file = inode == FILE;
        FileAttr {
            ino: inode,
            size: if is_file { self.len_bytes } else { 0 },
            blocks: if is_file { self.len_bytes / 512 } else { 0 },
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: if is_file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // A smaller bound of the kernel is as good.
        let _ = config.set_max_write(MAX_WRITE);
        // Else the kernel sends nothing more while a write is held.
        let _ = config.set_max_background(MAX_BACKGROUND);
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&FOREVER, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Without this, the page cache of the FUSE file would merge writes and reorder them.
        reply.opened(FileHandle(1), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if self.fails(Fault::Reads) {
            return reply.error(Errno::EIO);
        }
        let len = u64::from(size).min(self.len_bytes.saturating_sub(offset)) as usize;
        let mut bytes = vec![0; len];
        match self.backing.read_exact_at(&mut bytes, offset) {
            Ok(()) => reply.data(&bytes),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = lock(&self.state);
        if state.held_from_bytes.is_some_and(|least| bytes.len() >= least) {
            state.held.push(HeldWrite { offset, bytes: bytes.into(), reply });
            return;
        }
        drop(state);
        self.store(offset, bytes, reply);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        if self.fails(Fault::Flushes) {
            return reply.error(Errno::EIO);
        }
        self.note(|| Event::Flush);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // That is `close`, which flushes nothing.
        reply.ok();
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, _: u64, _: u64, _: i32, reply: ReplyEmpty) {
        // No discard and no zeroing without writing: what is not a write would not be in the record.
        reply.error(Errno::EOPNOTSUPP);
    }
}
