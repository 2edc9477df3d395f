//! Kills the process (SIGKILL) at random moments of encrypts and decrypts, goes on or rolls back, and compares SHA-256.
//!
//! The test binary is its own victim: it starts itself as a child that runs one job (see [`child`]), and reads the
//! journal that the dead child left. `PAGESEAL_SEED` repeats the choices of an earlier run (not its timing),
//! `PAGESEAL_KILLS` sets the number of kills of either job, 50 if absent.

mod by;
mod child;
mod found;
mod moment;
mod rounds;
mod subject;
#[path = "../support/mod.rs"]
mod support;
mod tally;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pageseal::JobKind;
use rounds::Rounds;

/// Kills of each job, unless `PAGESEAL_KILLS` says otherwise.
const KILLS: u64 = 50;
/// How often a kill is made until it lands between the first window's commit and FINISHED.
const ATTEMPTS_IN_TIME: u64 = 4;
/// For a hundred kills that were asked for, so many must land there.
const SHARE_BETWEEN_PERCENT: u64 = 80;
/// Below this number of kills a share says nothing.
const KILLS_FOR_A_SHARE: u64 = 20;

/// The child's entry: does nothing unless this binary started itself with a job in the environment.
#[test]
#[ignore = "the entry of the processes that `survives_kills_at_random_moments` starts"]
fn child_job() {
    child::obey();
}

#[test]
fn survives_kills_at_random_moments() {
    let started = Instant::now();
    let kills = number_from("PAGESEAL_KILLS").unwrap_or(KILLS);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number_from("PAGESEAL_SEED").unwrap_or(now);
    println!("PAGESEAL_SEED={seed} PAGESEAL_KILLS={kills}");

    let mut rounds = Rounds::new(seed);
    let mut made = 0;
    for index in 0..kills {
        for job in [JobKind::Encrypt, JobKind::Decrypt] {
            // When a kill lands is up to the machine. One that came too early or too late counts, and is made again.
            for _ in 0..ATTEMPTS_IN_TIME {
                made += 1;
                if rounds.kill_and_recover(job, index) {
                    break;
                }
            }
        }
    }
    let tally = rounds.end();
    println!("{tally}in {:.1} s", started.elapsed().as_secs_f64());

    assert_eq!(tally.kills(), made, "seed {seed}: a kill was not counted");
    if 2 * kills >= KILLS_FOR_A_SHARE {
        let percent = 100 * tally.kills_between() / (2 * kills);
        assert!(percent >= SHARE_BETWEEN_PERCENT, "seed {seed}: only {percent} % of the kills were in time");
    }
}

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}
