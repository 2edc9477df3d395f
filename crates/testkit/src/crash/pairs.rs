//! A file and a journal of one job and of different moments: of one life, of copies that went on apart, of one that was taken back
//! and one that went on. Either the content comes out, or not a byte changes, so that each still fits its right partner.

use super::campaign::Protected;
use super::explore::killed_states;
use super::site::{History, JOURNAL, Keys, PLAIN, SEALED, Site};
use super::start::Start;
use super::tally::Tally;
use crate::Generator;
use crate::disk::{Fault, State};

/// Moments that are kept of each run.
const MOMENTS: usize = 4;
/// Pairs of a seed.
const PAIRS: u64 = 40;

/// Plays pairs of one scenario.
///
/// # Errors
/// What was lost, or changed by a refusal.
pub fn play(start: &Start, keys: &Keys, tally: &Tally) -> Result<(), String> {
    let mut generator = Generator::new(start.scenario.seed ^ 0x9A15);
    let Some(lives) = Protected::run(|| Lives::of(start, keys, &mut generator))? else { return Ok(()) };
    for _ in 0..PAIRS {
        let file = generator.pick(&lives.states);
        let journal = generator.pick(&lives.states);
        let Some(bytes) = journal.1.content(JOURNAL) else { continue };
        if file.1.content(JOURNAL) == Some(bytes) {
            // A right pair: the crashes have those.
            continue;
        }
        let mut state = file.1.clone();
        // What a killed job had asked for has landed by the time that somebody copies or restores a file.
        state.land_all();
        state.put(JOURNAL, bytes.to_vec());
        // Nobody restores what is kept in memory: what one run has removed there is gone for all.
        if journal.1.kept_job_keys() == 0 {
            state.forget_job_keys();
        }
        for back in [false, true] {
            let what = |error| {
                let verb = if back { "rollback" } else { "resume" };
                format!("{verb} of a pair, the file: {}, the journal: {}: {error}", file.0, journal.0)
            };
            let site = start.site_at(keys, state.clone(), lives.history.clone(), generator.next_u64());
            Protected::run(|| check(&site, &state, back)).map_err(what)?;
            tally.count_pair();
        }
    }
    Ok(())
}

fn check(site: &Site<'_>, before: &State, back: bool) -> Result<(), String> {
    let result = site.go_on(back, &pageseal::Control::silent());
    if site.reused_a_nonce() {
        return Err("a nonce sealed two plaintexts".into());
    }
    match result {
        Ok(_) => site.judge(true),
        Err(error) => {
            let unchanged = site.disk.look(|state| state.looks_like(before));
            if unchanged { Ok(()) } else { Err(format!("refused, and yet changed: {error:?}")) }
        }
    }
}

/// What a kill leaves at moments of the runs of one job and its copies.
struct Lives {
    states: Vec<(String, State)>,
    /// Of all of them together.
    history: History,
}

impl Lives {
    /// `None` if the job is too short to leave a journal.
    fn of(start: &Start, keys: &Keys, generator: &mut Generator) -> Result<Option<Self>, String> {
        let mut lives = Lives { states: Vec::new(), history: start.history.clone() };
        // More than one process goes on with the job, and none has the others' memory.
        lives.history.restarted = true;
        lives.history.faults.push(Fault::Kill);
        let site = start.site(keys, generator.next_u64());
        site.disk.record();
        site.run().map_err(|error| format!("undisturbed, the job fails: {error:?}"))?;
        lives.keep("the job", &site, generator);
        if start.state.has(JOURNAL) {
            lives.states.push(("the beginning".into(), start.state.clone()));
        }
        let forks: Vec<State> =
            lives.states.iter().map(|(_, state)| state.clone()).filter(|state| state.has(JOURNAL)).collect();
        if forks.is_empty() {
            return Ok(None);
        }
        let fork = generator.pick(&forks).clone();
        for (name, back) in [("one copy", false), ("another copy", false), ("a copy taken back", true)] {
            let site = start.site_at(keys, fork.clone(), lives.history.clone(), generator.next_u64());
            site.disk.record();
            // Some can only be finished, and some are lost, as they promise.
            let _ = site.go_on(back, &pageseal::Control::silent());
            lives.keep(name, &site, generator);
        }
        Ok(Some(lives))
    }

    fn keep(&mut self, name: &str, site: &Site<'_>, generator: &mut Generator) {
        let moments = site.disk.take_record();
        self.history.past.merge(site.history(None).past);
        if moments.is_empty() {
            return;
        }
        for _ in 0..MOMENTS {
            let moment = generator.pick(&moments);
            let left = killed_states(moment, generator);
            let ((kind, part), mut state) = generator.pick(&left).clone();
            state.end_process();
            if state.has(PLAIN) || state.has(SEALED) {
                let place = moment.operation.place();
                let name = format!("{name}, change {} {place:?} ({kind}, {part})", moment.number);
                self.states.push((name, state));
            }
        }
    }
}
