//! Runs in which another process does something to the file. What it destroys is its own doing; nothing else may be lost, no
//! nonce may seal two plaintexts, and no other file may be touched.

use super::campaign::Protected;
use super::scenario::{Store, Survives};
use super::site::{Keys, PLAIN, SEALED, Site};
use super::start::Start;
use super::tally::Tally;
use crate::Generator;
use crate::disk::{APPENDED, FOREIGN, Fault, ForeignWrite, Meddling};

/// After somebody wrote, the power goes at each of so many operations.
const SOON: u64 = 10;
/// Rounds where the content is read twice, and only the second reading is compared with a record: between the two is the place to
/// meddle, and it is seldom hit.
const ROUNDS: u64 = 24;
/// Jobs in each seed that are killed and then gone on with while somebody appends.
const CONTINUED: u64 = 4;
/// Operations within which an encrypt has grown its file and written its trailer.
const GROWING: u64 = 60;
/// Operations within which a run that goes on from there has grown the file or cut it.
const CONTINUING: u64 = 40;
/// Operations between the name of an encrypt's journal and the growth of its file, about.
const UNGROWN: u64 = 4;
/// Runs after the first.
const MOST_RUNS: u64 = 4;

/// Plays a run that is meddled with, stopped, meddled with again, and recovered as far as that goes.
///
/// # Errors
/// What was lost or changed that should not be.
pub fn play(start: &Start, keys: &Keys, tally: &Tally) -> Result<(), String> {
    let seed = start.scenario.seed ^ 0x3EDD;
    let mut generator = Generator::new(seed);
    let operations = {
        let site = start.site(keys, seed);
        site.run().map_err(|error| format!("undisturbed, the job fails: {error:?}"))?;
        site.disk.operations()
    };
    let cell = start.scenario.cell;
    let reads_twice = cell.store == Store::Buffered && cell.resilience == Survives::Checksum;
    for _ in 0..if reads_twice { ROUNDS } else { 1 } {
        play_one(start, keys, tally, &mut generator, seed, operations)?;
    }
    let first = first_with_journal(start, keys, seed, operations)?;
    for _ in 0..CONTINUED {
        let killed_at = match generator.below(4) {
            0 => 1 + generator.below(operations),
            1 => 1 + generator.below(operations.min(GROWING)),
            _ => first + generator.below(UNGROWN),
        };
        play_continued(start, keys, tally, &mut generator, seed, killed_at)?;
    }
    Ok(())
}

/// The first operation at which a kill leaves a journal.
fn first_with_journal(start: &Start, keys: &Keys, seed: u64, operations: u64) -> Result<u64, String> {
    let (mut none, mut some) = (0, operations);
    while some - none > 1 {
        let middle = none.midpoint(some);
        match killed(start, keys, seed, middle)?.has_journal() {
            true => some = middle,
            false => none = middle,
        }
    }
    Ok(some)
}

/// A job that was killed at this operation.
pub(super) fn killed<'k>(start: &Start, keys: &'k Keys, seed: u64, at: u64) -> Result<Site<'k>, String> {
    let mut site = start.site(keys, seed);
    site.disk.fail_at(at, Fault::Kill);
    Protected::run(|| Ok(site.run().is_ok()))?;
    site.come_back(Fault::Kill);
    Ok(site)
}

/// A job is killed, mostly early, when its file has no trailer yet; and somebody appends while it is gone on with or undone.
fn play_continued(
    start: &Start,
    keys: &Keys,
    tally: &Tally,
    generator: &mut Generator,
    seed: u64,
    killed_at: u64,
) -> Result<(), String> {
    let mut site = killed(start, keys, seed, killed_at)?;
    if !site.has_journal() {
        return Ok(());
    }
    let at = 1 + generator.below(CONTINUING);
    let back = generator.below(2) == 0;
    let what = |error| {
        let direction = if back { "undone" } else { "gone on with" };
        format!("killed at {killed_at}, appended before operation {at} when it was {direction}: {error}")
    };
    let result = Protected::run(|| {
        site.disk.fail_at(at, Fault::Meddling(Meddling::Append));
        let _ = site.go_on(back, &pageseal::Control::silent());
        check_appended(&site)?;
        site.come_back(Fault::Kill);
        find_whole(&site, Meddling::Append, 0, generator)
    });
    result.map_err(what)?;
    tally.count_meddled();
    Ok(())
}

/// What was appended is where it was, or in what the file opens to.
fn check_appended(site: &Site<'_>) -> Result<(), String> {
    for write in site.disk.foreign_writes() {
        let ForeignWrite::Grown { from, .. } = write else { continue };
        let is_there = |bytes: &[u8]| bytes.get(from..from + APPENDED.len()) == Some(APPENDED);
        if site
            .disk
            .look(|state| state.files().any(|(_, inode, bytes)| inode == site.inode() && is_there(bytes)))
        {
            continue;
        }
        let name = if site.disk.look(|state| state.has(SEALED)) { SEALED } else { PLAIN };
        let opened = if site.has_journal() { Err("open job".into()) } else { site.read(name) };
        if !opened.is_ok_and(|content| is_there(&content)) {
            return Err(format!("what was appended at {from} is gone"));
        }
    }
    Ok(())
}

fn play_one(
    start: &Start,
    keys: &Keys,
    tally: &Tally,
    generator: &mut Generator,
    seed: u64,
    operations: u64,
) -> Result<(), String> {
    let meddling = some_meddling(generator);
    let at = 1 + generator.below(operations);
    // The power goes before what was made of it is on the medium, so that recovery meets the old content again; or not at all.
    let is_write = matches!(meddling, Meddling::Write(_));
    for soon in 0..=if is_write { SOON } else { 0 } {
        let mut site = start.site(keys, seed);
        site.disk.fail_at(at, Fault::Meddling(meddling));
        if soon > 0 {
            site.disk.fail_at(at + soon, Fault::PowerCut);
            site.disk.lose_all();
        }
        let what = |error| {
            format!("{meddling:?} before operation {at} of {operations}, power cut {soon} later: {error}")
        };
        let result = Protected::run(|| {
            let _ = site.run();
            if soon == 0 {
                check_appended(&site)?;
            }
            match meddling {
                Meddling::Rename | Meddling::Remove | Meddling::Replace => check_moved(&mut site, meddling),
                Meddling::Write(_) | Meddling::Cut(_) | Meddling::Append => {
                    check_changed(&mut site, meddling, generator)
                }
            }
        });
        result.map_err(what)?;
        tally.count_meddled();
    }
    Ok(())
}

fn some_meddling(generator: &mut Generator) -> Meddling {
    let place = generator.below(1000) as u16;
    *generator.pick(&[
        Meddling::Write(place),
        Meddling::Write(place),
        Meddling::Write(place),
        Meddling::Cut(place),
        Meddling::Append,
        Meddling::Rename,
        Meddling::Remove,
        Meddling::Replace,
    ])
}

/// Its name was taken away. The content is as safe as ever, and whoever has the name now is left alone.
fn check_moved(site: &mut Site<'_>, meddling: Meddling) -> Result<(), String> {
    let state = site.disk.state();
    let foreign: Vec<_> = state.files().filter(|(_, _, bytes)| *bytes == FOREIGN).collect();
    if meddling == Meddling::Replace && foreign.len() != 1 {
        return Err("the other file was changed".into());
    }
    if site.reused_a_nonce() {
        return Err("a nonce sealed two plaintexts".into());
    }
    if meddling == Meddling::Remove {
        return Ok(());
    }
    // The file gets its name back; then all must be as if nothing had been.
    site.put_back();
    let has_trailer = site.disk.look(|state| state.has(SEALED));
    if site.has_journal() {
        return site.recover_and_judge().map(|_| ());
    }
    let name = if has_trailer { SEALED } else { PLAIN };
    site.judge_content(name)?;
    site.judge_secrets(true)?;
    site.come_back(Fault::PowerCut);
    site.judge_content(name)
}

/// Its content was changed. The tool may refuse, at any point; what it says is whole must be.
fn check_changed(site: &mut Site<'_>, meddling: Meddling, generator: &mut Generator) -> Result<(), String> {
    let mut changed_bytes = usize::from(matches!(meddling, Meddling::Write(_)));
    for _ in 0..generator.below(MOST_RUNS) {
        site.come_back(*generator.pick(&[Fault::PowerCut, Fault::Kill]));
        if generator.below(2) == 0 && matches!(meddling, Meddling::Write(_)) {
            site.meddle(Meddling::Write(generator.below(1000) as u16));
            changed_bytes += 1;
        }
        if !site.has_journal() {
            break;
        }
        site.disk.fail_at(1 + generator.below(80), Fault::PowerCut);
        let _ = site.go_on(generator.below(2) == 0, &pageseal::Control::silent());
    }
    site.come_back(Fault::PowerCut);
    for back in [false, true] {
        if site.has_journal() {
            let _ = site.go_on(back, &pageseal::Control::silent());
        }
    }
    if site.reused_a_nonce() {
        return Err("a nonce sealed two plaintexts".into());
    }
    if let Meddling::Cut(_) = meddling {
        // Cut off is lost, and with it the trailer, or what a trailer says of it.
        return Ok(());
    }
    find_whole(site, meddling, changed_bytes, generator)
}

/// The file is whole but for what somebody wrote, or becomes so when that is put back. The tool may refuse what it cannot prove;
/// it may not have destroyed anything else.
fn find_whole(
    site: &Site<'_>,
    meddling: Meddling,
    changed_bytes: usize,
    generator: &mut Generator,
) -> Result<(), String> {
    let writes = site.disk.foreign_writes();
    let mut refusals = Vec::new();
    // A power cut may have kept some of the writes and not others, so any subset is what has to be put back.
    for subset in 0..1_usize << writes.len() {
        let trial = site.copy(generator.next_u64());
        let chosen = writes.iter().enumerate().filter(|(number, _)| subset >> number & 1 == 1);
        chosen.for_each(|(_, write)| trial.disk.take_back(*write));
        match settle(&trial) {
            Settled::Content(found) => {
                return check_content(site.plaintext(), &found, meddling, changed_bytes);
            }
            Settled::SaidToBeLost => return Ok(()),
            Settled::Refused(why) => refusals.push(why),
        }
    }
    refusals.dedup();
    Err(format!("unreadable, also when what was written is put back: {refusals:?}"))
}

/// How far a file gets.
enum Settled {
    /// Open, or plain.
    Content(Vec<u8>),
    /// The mode promised no more.
    SaidToBeLost,
    Refused(String),
}

fn settle(site: &Site<'_>) -> Settled {
    let mut last = String::new();
    for back in [false, true, false] {
        if !site.has_journal() {
            break;
        }
        match site.go_on(back, &pageseal::Control::silent()) {
            Ok(_) => {}
            Err(error) if site.may_be_lost(&error) => return Settled::SaidToBeLost,
            Err(error) => last = format!("{error:?}"),
        }
    }
    if site.has_journal() {
        return Settled::Refused(last);
    }
    let name = if site.disk.look(|state| state.has(SEALED)) { SEALED } else { PLAIN };
    site.read(name).map_or_else(Settled::Refused, Settled::Content)
}

/// What opens, or is plain at the end of a job, is the plaintext but for what somebody wrote into it.
fn check_content(
    plaintext: &[u8],
    found: &[u8],
    meddling: Meddling,
    changed_bytes: usize,
) -> Result<(), String> {
    let kept = match meddling {
        Meddling::Append if found.len() >= plaintext.len() => &found[..plaintext.len()],
        _ => found,
    };
    let differences = kept.iter().zip(plaintext).filter(|(found, expected)| found != expected).count();
    if kept.len() == plaintext.len() && differences <= changed_bytes {
        return Ok(());
    }
    Err(format!("{differences} bytes differ though {changed_bytes} were changed, of {}", found.len()))
}
