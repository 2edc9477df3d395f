//! A job is stopped at every operation on its log, the power goes, and it goes on: nothing may be lost.
#![cfg(not(miri))] // Thousands of checksums, each of which takes Miri seconds.

mod common;

use common::job::World;
use common::{MemLog, Random, encrypt, header};
use pageseal_format::journal::{JobKind, JournalHeader, RecordKind, Resilience};
use pageseal_journal::JournalError;

#[derive(Clone, Copy, PartialEq)]
enum Crash {
    PowerLoss,
    Kill,
}

fn crashed(log: &MemLog, how: Crash, seed: u64) -> MemLog {
    match how {
        Crash::PowerLoss => log.after_power_loss(seed),
        Crash::Kill => log.after_kill(),
    }
}

fn is_io(error: &JournalError) -> bool {
    matches!(error, JournalError::Io { .. } | JournalError::Latched)
}

/// Runs `world` on `log` up to the `stop`-th operation, and crashes. `None` if it came to its end before.
fn run_until(world: &mut World, log: &MemLog, stop: usize, how: Crash, seed: u64) -> Option<MemLog> {
    log.stop_at(stop);
    match world.run(log) {
        Ok(()) => None,
        Err(error) => {
            assert!(is_io(&error), "{error:?}");
            Some(if world.created {
                crashed(log, how, seed)
            } else {
                // Its name was never made durable; the engine begins anew.
                MemLog::default()
            })
        }
    }
}

/// Every first crash, for several outcomes of it; then several second crashes; then to the end.
fn crash_everywhere(template: &World, how: Crash) {
    let log = MemLog::default();
    template.clone().run(&log).unwrap();
    let operations = log.operations();
    assert!(operations > 12, "{operations}");
    let seeds = if how == Crash::Kill { 1 } else { 8 };
    for stop in 0..operations {
        for seed in 0..seeds {
            let mut world = template.clone();
            let log = run_until(&mut world, &MemLog::default(), stop, how, seed).unwrap();
            let mut random = Random(stop as u64 * 100 + seed);
            for _ in 0..6 {
                let (mut world, mut log) = (world.clone(), log.after_kill());
                for _ in 0..2 {
                    let (stop, seed) = (random.below(30) as usize, random.below(6));
                    match run_until(&mut world, &log, stop, how, seed) {
                        Some(left) => log = left,
                        None => break,
                    }
                }
                world.run(&log.after_kill()).unwrap();
            }
        }
    }
}

fn templates(header: &JournalHeader) -> Vec<World> {
    let forward = World::new(header.clone());
    let mut templates = vec![forward.clone()];
    for reverse_at in [1, 4, 9] {
        templates.push(World { reverse_at: Some(reverse_at), ..forward.clone() });
    }
    templates.push(World { lazy: false, ..forward });
    templates
}

#[test]
fn power_loss_anywhere_with_fingerprints() {
    for slots in [2, 3] {
        for template in templates(&encrypt(slots)) {
            crash_everywhere(&template, Crash::PowerLoss);
        }
    }
}

#[test]
fn power_loss_anywhere_with_payload() {
    let kind = RecordKind::FingerprintsAndPayload;
    for job in [JobKind::Encrypt, JobKind::Decrypt] {
        let header = header(job, Resilience::Journal, kind, 3);
        for template in templates(&header) {
            crash_everywhere(&template, Crash::PowerLoss);
        }
    }
}

#[test]
fn kill_anywhere_without_syncs() {
    for kind in [RecordKind::Fingerprints, RecordKind::FingerprintsAndPayload] {
        let header = header(JobKind::Encrypt, Resilience::Process, kind, 2);
        for template in templates(&header) {
            crash_everywhere(&template, Crash::Kill);
        }
    }
}

#[test]
fn process_mode_syncs_phases_and_no_windows() {
    let header = header(JobKind::Encrypt, Resilience::Process, RecordKind::Fingerprints, 2);
    let log = MemLog::default();
    World::new(header).run(&log).unwrap();
    // CREATED, GROWN, RUNNING, DATA_DONE, the wiped key area, FINISHED.
    assert_eq!(log.syncs(), 6);
    let log = MemLog::default();
    World::new(encrypt(2)).run(&log).unwrap();
    // Five windows more.
    assert_eq!(log.syncs(), 6 + 5);
}

/// After a failed sync the cache shows records that the disk never got, and calls them clean. Another sync proves
/// nothing: what is relied upon must be written again.
#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again() {
    for kind in [RecordKind::Fingerprints, RecordKind::FingerprintsAndPayload] {
        let resilience = match kind {
            RecordKind::Fingerprints => Resilience::Checksum,
            _ => Resilience::Journal,
        };
        for template in templates(&header(JobKind::Encrypt, resilience, kind, 3)) {
            let log = MemLog::default();
            template.clone().run(&log).unwrap();
            for failing in 1..log.syncs() {
                let mut world = template.clone();
                let log = MemLog::default();
                log.fail_sync(failing);
                let error = world.run(&log).unwrap_err();
                assert!(is_io(&error), "{error:?}");
                go_on_in_the_same_cache(&world, &log);
            }
        }
    }
}

/// Another process opens the journal, gets its tokens, stores, and only then the power goes.
fn go_on_in_the_same_cache(world: &World, log: &MemLog) {
    for stop in 0..20 {
        for seed in 0..3 {
            let (mut world, log) = (world.clone(), log.after_kill());
            if let Some(left) = run_until(&mut world, &log, stop, Crash::PowerLoss, seed) {
                world.run(&left).unwrap();
            }
        }
    }
}
