//! Every state of the tables, each made anew from its parts.

use pageseal_format::journal::{Direction, JobKind, Phase};

use crate::parts::{Copy, Data, FIRST_WINDOW, Parts, Table};

use Direction::{Backward, Forward};
use JobKind::{Decrypt, Encrypt};
use Phase::{Created, DataDone, Finished, Grown, Running, Truncating};

/// Where the journal lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Beside,
    /// In a folder of its own, and the commands are not told.
    Elsewhere,
    /// In a folder of its own, and the commands that ask for it are told.
    Named,
}

/// Who else is at the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Company {
    Nobody,
    /// An encrypt that runs.
    Job,
    /// A process that has it open for writing.
    Writer,
}

pub struct State {
    /// As the document calls it.
    pub name: &'static str,
    /// The file's name.
    pub file: &'static str,
    pub bytes: Vec<u8>,
    pub journal: Option<Vec<u8>>,
    pub place: Place,
    /// Whether the journal's header says that it is of this file's inode.
    pub is_of_inode: bool,
    /// The name that commands are given.
    pub given: &'static str,
    /// A second file.
    pub other: Option<&'static str>,
    pub company: Company,
    /// Whether it was sealed when the trailer was exported that is put back.
    pub has_own_trailer: bool,
}

impl State {
    fn new(name: &'static str, file: &'static str, bytes: Vec<u8>) -> Self {
        State {
            name,
            file,
            bytes,
            journal: None,
            place: Place::Beside,
            is_of_inode: true,
            given: file,
            other: None,
            company: Company::Nobody,
            has_own_trailer: file == "a.sealed",
        }
    }

    fn with(self, journal: Vec<u8>) -> Self {
        State { journal: Some(journal), ..self }
    }

    fn at(self, place: Place) -> Self {
        State { place, ..self }
    }

    fn given(self, given: &'static str) -> Self {
        State { given, ..self }
    }

    fn beside(self, other: &'static str) -> Self {
        State { other: Some(other), ..self }
    }

    pub fn copied(self) -> Self {
        State { is_of_inode: false, ..self }
    }

    fn among(self, company: Company) -> Self {
        State { company, ..self }
    }

    /// The trailer that is put back is of this file.
    fn own_trailer(self) -> Self {
        State { has_own_trailer: true, ..self }
    }
}

/// All of them. Some rows of the document stand for several.
pub fn all(parts: &Parts) -> Vec<State> {
    [
        at_rest(parts),
        of_encrypts(parts),
        of_undone_encrypts(parts),
        of_decrypts(parts),
        of_undone_decrypts(parts),
        without_journal(parts),
        journal_elsewhere(parts),
        foreign_journals(parts),
        trailers(parts),
        trailers_of_jobs(parts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An encrypt that has changed nothing yet, and what somebody made of its file.
pub fn created(parts: &Parts, bytes: Vec<u8>) -> State {
    State::new("CREATED", "a", bytes).with(parts.journal(Encrypt, Created, Forward, 0, 0))
}

fn cut(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.truncate(len);
    bytes
}

fn longer(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&[7; 100]);
    bytes
}

fn changed(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 1;
    bytes
}

fn at_rest(parts: &Parts) -> Vec<State> {
    let plain = || parts.plain().to_vec();
    let sealed = || parts.sealed().to_vec();
    vec![
        State::new("plain", "a", plain()),
        State::new("plain, `a.sealed` is taken", "a", plain()).beside("a.sealed"),
        State::new("plain, named `a.sealed`", "a.sealed", plain()),
        State::new("sealed", "a.sealed", sealed()),
        State::new("sealed, `a` is taken", "a.sealed", sealed()).beside("a"),
        State::new("sealed, named `a`", "a", sealed()).own_trailer(),
        State::new("sealed, asked for as `a`", "a.sealed", sealed()).given("a"),
        State::new("open for writing", "a", plain()).among(Company::Writer),
        State::new("an encrypt runs", "a", plain()).among(Company::Job),
    ]
}

fn of_encrypts(parts: &Parts) -> Vec<State> {
    let both = |one, other| [one, other];
    let done = |copies| parts.file(Data::Sealed, Table::Full, copies);
    let begun = |copies| parts.file(Data::Plain, Table::Empty, copies);
    let journal = |phase| parts.journal(Encrypt, phase, Forward, 0, 0);
    let at_end = |phase| parts.journal(Encrypt, phase, Forward, parts.end(Forward), 2);
    let [killed, killed_journal] = parts.killed(Encrypt);
    let [stopped, stopped_journal] = parts.stopped(Encrypt);
    vec![
        State::new("CREATED", "a", parts.plain().to_vec()).with(journal(Created)),
        State::new("CREATED", "a", parts.grown(false)).with(journal(Created)),
        State::new("GROWN", "a", parts.grown(false)).with(journal(Grown)),
        State::new("GROWN", "a", parts.grown(true)).with(journal(Grown)),
        State::new("GROWN, one copy", "a", begun(both(Copy::Encrypting, Copy::None))).with(journal(Grown)),
        State::new("GROWN, one copy", "a", begun(both(Copy::Encrypting, Copy::Begun))).with(journal(Grown)),
        State::new("GROWN, one copy", "a", begun(both(Copy::Encrypting, Copy::Encrypting)))
            .with(journal(Grown)),
        State::new("RUNNING", "a", killed).with(killed_journal),
        State::new("RUNNING", "a", stopped.clone()).with(stopped_journal.clone()),
        State::new("RUNNING, other name", "a", stopped).with(stopped_journal).given("a.sealed"),
        State::new("DATA_DONE", "a", done(both(Copy::Encrypting, Copy::Encrypting))).with(at_end(DataDone)),
        State::new("DATA_DONE", "a", done(both(Copy::Sealed, Copy::Encrypting))).with(at_end(DataDone)),
        State::new("DATA_DONE, sealed", "a", done(both(Copy::Sealed, Copy::Torn))).with(at_end(DataDone)),
        State::new("DATA_DONE, sealed", "a", parts.sealed().to_vec()).with(at_end(DataDone)),
        State::new("FINISHED, named `a`", "a", parts.sealed().to_vec()).with(at_end(Finished)),
        State::new("FINISHED, named `a.sealed`", "a.sealed", parts.sealed().to_vec()).with(at_end(Finished)),
        State::new("FINISHED, other name", "a.sealed", parts.sealed().to_vec())
            .with(at_end(Finished))
            .given("a"),
    ]
}

fn of_undone_encrypts(parts: &Parts) -> Vec<State> {
    let running = [Copy::Encrypting; 2];
    let plain = || parts.plain().to_vec();
    let whole = || parts.file(Data::Plain, Table::FirstWindow, running);
    let journal = |phase, watermark, windows| parts.journal(Encrypt, phase, Backward, watermark, windows);
    vec![
        State::new("undone, RUNNING", "a", parts.file(Data::HalfSealed, Table::FirstWindow, running))
            .with(journal(Running, FIRST_WINDOW, 1)),
        State::new("undone, RUNNING", "a", whole()).with(journal(DataDone, 0, 2)),
        State::new("undone, not cut yet", "a", whole()).with(journal(Truncating, 0, 2)),
        State::new("undone, cut off", "a", plain()).with(journal(Truncating, 0, 2)),
        State::new("undone, not cut yet (GROWN)", "a", parts.grown(true)).with(journal(Truncating, 0, 0)),
        State::new("undone, cut off", "a", plain()).with(journal(Truncating, 0, 0)),
        State::new("undone, FINISHED", "a", plain()).with(journal(Finished, 0, 2)),
    ]
}

fn of_decrypts(parts: &Parts) -> Vec<State> {
    let sealed = |copies| parts.file(Data::Sealed, Table::Full, copies);
    let opened = || parts.file(Data::Plain, Table::Full, [Copy::Decrypting; 2]);
    let plain = || parts.plain().to_vec();
    let created = || parts.journal(Decrypt, Created, Forward, 0, 0);
    let at_end = |phase| parts.journal(Decrypt, phase, Forward, parts.end(Forward), 2);
    let [killed, killed_journal] = parts.killed(Decrypt);
    let [stopped, stopped_journal] = parts.stopped(Decrypt);
    let name = "a.sealed";
    vec![
        State::new("CREATED (decrypt)", name, parts.sealed().to_vec()).with(created()),
        State::new("CREATED, one copy", name, sealed([Copy::Decrypting, Copy::Sealed])).with(created()),
        State::new("CREATED, one copy", name, sealed([Copy::Torn, Copy::Decrypting])).with(created()),
        State::new("CREATED, one copy", name, sealed([Copy::Decrypting; 2])).with(created()),
        State::new("RUNNING (decrypt)", name, killed).with(killed_journal),
        State::new("RUNNING (decrypt)", name, stopped.clone()).with(stopped_journal.clone()),
        State::new("RUNNING, plain name", name, stopped).with(stopped_journal).given("a"),
        State::new("RUNNING (decrypt)", name, opened()).with(at_end(DataDone)),
        State::new("not cut yet", name, opened()).with(at_end(Truncating)),
        State::new("cut off", name, plain()).with(at_end(Truncating)),
        State::new("FINISHED, plain `a.sealed`", name, plain()).with(at_end(Finished)),
        State::new("FINISHED, plain `a`", "a", plain()).with(at_end(Finished)),
        State::new("FINISHED, sealed name", "a", plain()).with(at_end(Finished)).given("a.sealed"),
    ]
}

fn of_undone_decrypts(parts: &Parts) -> Vec<State> {
    let name = "a.sealed";
    let sealed = |copies| parts.file(Data::Sealed, Table::Full, copies);
    let half = parts.file(Data::HalfOpened, Table::Full, [Copy::Decrypting; 2]);
    let journal = |phase, watermark, windows| parts.journal(Decrypt, phase, Backward, watermark, windows);
    vec![
        State::new("undone, RUNNING (decrypt)", name, half).with(journal(Running, FIRST_WINDOW, 1)),
        State::new("undone, RUNNING (decrypt)", name, sealed([Copy::Decrypting; 2]))
            .with(journal(DataDone, 0, 2)),
        State::new("undone, RUNNING (decrypt)", name, sealed([Copy::SealedAgain, Copy::Decrypting]))
            .with(journal(DataDone, 0, 2)),
        State::new("undone, sealed", name, sealed([Copy::SealedAgain; 2])).with(journal(DataDone, 0, 2)),
        State::new("undone, FINISHED (decrypt)", name, sealed([Copy::SealedAgain; 2]))
            .with(journal(Finished, 0, 2)),
    ]
}

fn without_journal(parts: &Parts) -> Vec<State> {
    let [half_sealed, _] = parts.stopped(Encrypt);
    let [half_opened, _] = parts.stopped(Decrypt);
    let sealed = |copies| parts.file(Data::Sealed, Table::Full, copies);
    vec![
        State::new("lost, encrypt", "a", half_sealed),
        State::new("lost, enc, differ", "a", sealed([Copy::Sealed, Copy::Encrypting])),
        State::new("lost, GROWN", "a", parts.grown(true)),
        State::new("lost, decrypt", "a.sealed", half_opened),
        State::new("lost, nothing opened", "a.sealed", sealed([Copy::Decrypting; 2])),
        State::new("lost, dec, differ", "a.sealed", sealed([Copy::Decrypting, Copy::Sealed])),
        State::new("lost, cut off", "a.sealed", parts.plain().to_vec()),
    ]
}

fn journal_elsewhere(parts: &Parts) -> Vec<State> {
    let at_end = |phase| parts.journal(Decrypt, phase, Forward, parts.end(Forward), 2);
    let encrypt = |name| {
        let [file, journal] = parts.stopped(Encrypt);
        State::new(name, "a", file).with(journal)
    };
    let decrypt = |name| {
        let [file, journal] = parts.stopped(Decrypt);
        State::new(name, "a.sealed", file).with(journal)
    };
    let cut_off = |name| State::new(name, "a.sealed", parts.plain().to_vec()).with(at_end(Truncating));
    vec![
        encrypt("lost, encrypt").at(Place::Elsewhere),
        decrypt("lost, decrypt").at(Place::Elsewhere),
        cut_off("lost, cut off").at(Place::Elsewhere),
        encrypt("named, encrypt").at(Place::Named),
        decrypt("named, decrypt").at(Place::Named),
        cut_off("named, cut off").at(Place::Named),
    ]
}

fn foreign_journals(parts: &Parts) -> Vec<State> {
    let plain = |name| State::new(name, "a", parts.plain().to_vec());
    let sealed = |name| State::new(name, "a.sealed", parts.sealed().to_vec());
    let [half, journal] = parts.stopped(Encrypt);
    let garbage = || vec![7; 100_000];
    let created = || parts.journal(Encrypt, Created, Forward, 0, 0);
    let spent = parts.file(Data::Sealed, Table::Full, [Copy::SealedAgain; 2]);
    vec![
        plain("damaged, plain").with(garbage()),
        sealed("damaged, sealed").with(garbage()),
        State::new("damaged, encrypt", "a", half.clone()).with(garbage()),
        plain("foreign, plain").with(parts.foreign_journal.clone()).copied(),
        sealed("foreign, sealed").with(parts.foreign_journal.clone()).copied(),
        State::new("foreign, encrypt", "a", half).with(parts.foreign_journal.clone()).copied(),
        sealed("stale, sealed").with(journal.clone()),
        State::new("stale, sealed (decrypt)", "a.sealed", spent).with(parts.stopped(Decrypt)[1].clone()),
        plain("stale, plain").with(journal),
        plain("copied, CREATED").with(created()).copied(),
    ]
}

fn trailers(parts: &Parts) -> Vec<State> {
    let sealed = || parts.sealed().to_vec();
    let torn = |copies| parts.file(Data::Sealed, Table::Full, copies);
    let (name, len) = ("a.sealed", parts.sealed().len());
    vec![
        State::new("trailer missing", name, cut(sealed(), parts.plain_len())),
        State::new("trailer truncated", name, cut(sealed(), len - 1)),
        State::new("trailer truncated", name, cut(sealed(), len - 4096)),
        State::new("foreign bytes behind it", name, longer(sealed())),
        State::new("one copy damaged", name, torn([Copy::Torn, Copy::Sealed])),
        State::new("one copy damaged", name, torn([Copy::Sealed, Copy::Torn])),
        State::new("one copy damaged", name, changed(sealed(), parts.slot_area_offset(0) + 100)),
        State::new("one copy damaged", name, changed(sealed(), parts.slot_area_offset(1) + 100)),
        State::new("both copies damaged", name, torn([Copy::Torn, Copy::Torn])),
        State::new("a chunk damaged", name, changed(sealed(), 100)),
    ]
}

fn trailers_of_jobs(parts: &Parts) -> Vec<State> {
    let [half, journal] = parts.stopped(Encrypt);
    let state = |name, bytes| State::new(name, "a", bytes).with(journal.clone());
    let one_torn = parts.file(Data::HalfSealed, Table::FirstWindow, [Copy::Torn, Copy::Encrypting]);
    vec![
        state("RUNNING, no trailer", cut(half.clone(), parts.plain_len())),
        state("RUNNING, cut", cut(half.clone(), half.len() - 1)),
        state("RUNNING, longer", longer(half)),
        state("RUNNING", one_torn),
    ]
}
