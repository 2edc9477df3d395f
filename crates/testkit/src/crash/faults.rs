//! Runs in which something fails while they go on: I/O errors, failed syncs, full disks, kills and power cuts, one after the
//! other, the first in the job and the others in its recoveries.

use super::campaign::Protected;
use super::site::Keys;
use super::start::Start;
use super::tally::Tally;
use crate::Generator;
use crate::disk::Fault;

/// Faults in a row.
const MOST_FAULTS: u64 = 4;
/// Operations within which a recovery is hit.
const SOON: u64 = 90;

/// Plays a run with faults, recovers it and judges.
///
/// # Errors
/// What was lost, and after which faults.
pub fn play(start: &Start, keys: &Keys, tally: &Tally, number: u64) -> Result<(), String> {
    let seed = start.scenario.seed ^ (0xFA17 + number);
    let mut generator = Generator::new(seed);
    let operations = {
        let site = start.site(keys, seed);
        site.run().map_err(|error| format!("undisturbed, the job fails: {error:?}"))?;
        site.disk.operations()
    };
    let mut site = start.site(keys, seed);
    let mut played = Vec::new();
    for hit in 0..1 + generator.below(MOST_FAULTS) {
        let fault = some_fault(&mut generator);
        let at =
            if hit == 0 { some_operation(&mut generator, operations) } else { 1 + generator.below(SOON) };
        site.disk.fail_at(at, fault);
        played.push((at, fault));
        let outcome = Protected::run(|| {
            let result = match hit {
                0 => site.run(),
                _ if !site.has_journal() => return Ok(true),
                _ => site.go_on(generator.below(2) == 0, &pageseal::Control::silent()),
            };
            Ok(result.is_ok())
        });
        let is_done = outcome.map_err(|error| format!("after {played:?}: {error}"))?;
        site.come_back(fault);
        if is_done && hit == 0 {
            // What is called done is on the medium, and needs no recovery.
            site.come_back(Fault::PowerCut);
            let what = |error| format!("called done, after {played:?}: {error}");
            tally.count_faulted();
            return site.judge(true).map_err(what);
        }
        if is_done || !site.has_journal() {
            break;
        }
    }
    if !site.has_journal() {
        // The last run may have said that the journal's removal was not made durable.
        site.come_back(Fault::PowerCut);
    }
    let ending = Protected::run(|| site.recover_and_judge());
    let ending =
        ending.map_err(|error| format!("after {played:?} in a run of {operations} operations: {error}"))?;
    let _ = ending;
    tally.count_faulted();
    Ok(())
}

fn some_fault(generator: &mut Generator) -> Fault {
    *generator.pick(&[
        Fault::InputOutput { drop_pages: false },
        Fault::InputOutput { drop_pages: false },
        Fault::InputOutput { drop_pages: true },
        Fault::NoSpace,
        Fault::Kill,
        Fault::PowerCut,
    ])
}

/// Often near the ends, where lengths and names change.
fn some_operation(generator: &mut Generator, operations: u64) -> u64 {
    match generator.below(3) {
        0 => 1 + generator.below(operations.min(24)),
        1 => operations - generator.below(operations.min(16)),
        _ => 1 + generator.below(operations),
    }
}
