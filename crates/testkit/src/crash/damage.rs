//! Runs that are killed, whose file is damaged then for good: with the word that accepts it, some way must lead on, and all that was
//! not damaged must be whole.

use std::collections::BTreeSet;

use pageseal::{Damage, JobError, OpenError, Refusal};

use super::campaign::Protected;
use super::meddling::killed;
use super::site::{Keys, PLAIN, SEALED, Site};
use super::start::Start;
use super::tally::Tally;
use crate::Generator;
use crate::disk::{Fault, SECTOR};

/// Jobs in each seed.
const JOBS: u64 = 3;
/// Bytes that are changed.
const MOST_BYTES: u64 = 3;
/// A way that needs more runs than this does not lead on.
const MOST_RUNS: u64 = 12;
/// Runs of these that are killed, too.
const MOST_KILLS: u64 = 3;
/// Operations within which they are.
const SOON: u64 = 120;

/// Plays some.
///
/// # Errors
/// What was lost.
pub fn play(start: &Start, keys: &Keys, tally: &Tally) -> Result<(), String> {
    let seed = start.scenario.seed ^ 0xDA3A;
    let mut generator = Generator::new(seed);
    let operations = {
        let site = start.site(keys, seed);
        site.run().map_err(|error| format!("undisturbed, the job fails: {error:?}"))?;
        site.disk.operations()
    };
    for _ in 0..JOBS {
        let at = 1 + generator.below(operations);
        let mut site = killed(start, keys, seed, at)?;
        if !site.has_journal() || site.plaintext().is_empty() {
            continue;
        }
        let bytes: Vec<_> = (0..1 + generator.below(MOST_BYTES))
            .map(|_| generator.below(site.plaintext().len() as u64) as usize)
            .collect();
        bytes.iter().for_each(|at| site.disk.change_byte(site.inode(), *at));
        let result = Protected::run(|| go_on(&mut site, &bytes, &mut generator));
        result.map_err(|error| format!("killed at {at}, then {bytes:?} were changed: {error}"))?;
        tally.count_meddled();
    }
    Ok(())
}

fn go_on(site: &mut Site<'_>, changed: &[usize], generator: &mut Generator) -> Result<(), String> {
    let mut back = generator.below(2) == 0;
    let mut kills = generator.below(MOST_KILLS + 1);
    let mut answers = Vec::new();
    for _ in 0..MOST_RUNS {
        let is_killed = kills > 0;
        if is_killed {
            kills -= 1;
            site.disk.fail_at(1 + generator.below(SOON), Fault::Kill);
        }
        let result = site.accept_damage(back);
        answers.push(format!("{}: {result:?}", if back { "rollback" } else { "resume" }));
        let was_killed = site.disk.is_dead();
        site.come_back(Fault::Kill);
        if !site.has_journal() {
            let is_called_whole = result.is_ok() && answers.len() == 1;
            return judge(site, changed, is_called_whole)
                .map_err(|error| format!("{error}, after {answers:?}"));
        }
        match result {
            _ if was_killed => {}
            Err(JobError::Refused(Refusal::BeingRolledBack { .. })) => back = true,
            Err(JobError::Refused(Refusal::OnlyFinish { .. })) => back = false,
            Err(JobError::Open(OpenError::Damaged { damage, .. })) if leads_elsewhere(&damage) => {
                back = !back
            }
            Err(error) if site.may_be_lost(&error) => return Ok(()),
            _ => return Err(format!("no way leads on: {answers:?}")),
        }
    }
    Err(format!("no way leads to an end: {answers:?}"))
}

/// Whether it is said that the other command can end the job.
fn leads_elsewhere(damage: &Damage) -> bool {
    matches!(
        damage,
        Damage::CannotBeOpened { can_end_sealed: true, .. }
            | Damage::NeitherOldNorNew { .. }
            | Damage::Ambiguous { .. }
    )
}

/// All but the damaged chunks must be whole; and in a file that is called so, plain, nothing but plaintext was changed.
fn judge(site: &Site<'_>, changed: &[usize], is_called_whole: bool) -> Result<(), String> {
    let name = if site.disk.look(|state| state.has(SEALED)) { SEALED } else { PLAIN };
    let chunk_len = site.scenario.sizes.chunk_len_bytes();
    let damaged: BTreeSet<_> = changed.iter().map(|at| at / chunk_len).collect();
    let found = site.read_what_opens(name)?;
    let wanted: Vec<_> = site.plaintext().chunks(chunk_len).collect();
    let mut edited = site.plaintext().to_vec();
    changed.iter().for_each(|at| edited[*at] ^= 1);
    let mut edited = edited.chunks(chunk_len);
    if found.len() != wanted.len() {
        return Err(format!("{} chunks instead of {}", found.len(), wanted.len()));
    }
    for (chunk, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let is_whole = found.as_deref() == Some(wanted);
        if !is_whole && !damaged.contains(&chunk) {
            return Err(format!("{name}: chunk {chunk} is lost, and was not damaged"));
        }
        let is_edited = found.as_deref() == edited.next();
        if !is_whole && !is_edited && is_called_whole && name == PLAIN {
            return Err(format!("chunk {chunk} is damaged, and the file was called whole"));
        }
    }
    if name == SEALED && !site.scenario.cell.job.begins_sealed() && has_plaintext(site) {
        return Err("there is plaintext in the sealed file".into());
    }
    if site.reused_a_nonce() {
        return Err("a nonce sealed two plaintexts".into());
    }
    site.judge_secrets(true)
}

/// Whether a sector of the sealed file is still what it was.
fn has_plaintext(site: &Site<'_>) -> bool {
    let sealed = site.disk.look(|state| state.content(SEALED).map(<[u8]>::to_vec)).unwrap_or_default();
    let is_plain = |(sealed, plain): (&[u8], &[u8])| plain.len() == SECTOR && sealed == plain;
    sealed.chunks(SECTOR).zip(site.plaintext().chunks(SECTOR)).any(is_plain)
}
