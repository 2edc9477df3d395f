//! When a mapping wins and when read and write do: the textbook's question, answered from the figures alone.

use super::figures::{CacheState, IoRate, Method, Pattern};
use super::text::size;

/// Rates that are nearer than this are the same: measurements on a machine with other work differ by as much.
const SAME_FACTOR: f64 = 1.1;

/// Who is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Winner {
    Mmap,
    ReadWrite,
    Neither,
}

/// The best mapping against read and write in the same situation.
struct Duel<'a> {
    size_bytes: u64,
    mmap: &'a IoRate,
    read_write: &'a IoRate,
}

impl Duel<'_> {
    fn winner(&self) -> Winner {
        let factor = ratio(self.mmap, self.read_write);
        if factor >= SAME_FACTOR {
            Winner::Mmap
        } else if factor <= 1.0 / SAME_FACTOR {
            Winner::ReadWrite
        } else {
            Winner::Neither
        }
    }

    fn figures(&self) -> String {
        format!(
            "{} {:.2} GB/s, {} {:.2} GB/s",
            self.mmap.case.method.name(),
            self.mmap.gb_per_s,
            Method::ReadWrite.name(),
            self.read_write.gb_per_s
        )
    }
}

/// Sentences, the answer first.
pub(super) fn recommend(rates: &[IoRate], largest: u64, threads: usize, read_only: bool) -> Vec<String> {
    let rates: Vec<&IoRate> = rates.iter().filter(|rate| rate.case.threads == threads).collect();
    let mut wins = [Vec::new(), Vec::new(), Vec::new()];
    let mut details = Vec::new();
    for cache in [CacheState::Warm, CacheState::Cold] {
        for pattern in Pattern::ALL {
            let duels = duels(&rates, pattern, cache);
            let Some(last) = duels.iter().find(|duel| duel.size_bytes == largest) else {
                continue;
            };
            wins[last.winner() as usize].push(format!("{pattern} ({})", cache.name()));
            details.push(detail(pattern, cache, last, &duels));
        }
    }
    let mut advice = Vec::new();
    let [mmap, read_write, neither] = &wins;
    for (who, cases) in [
        ("mmap wins here for", mmap),
        ("read/write wins here for", read_write),
        (
            "Less than 10 % apart, so take read/write, which no one can break by cutting the file, for",
            neither,
        ),
    ] {
        if !cases.is_empty() {
            advice.push(format!("{who}: {}.", cases.join(", ")));
        }
    }
    advice.extend(details);
    advice.extend(price_of_faults(&rates, largest));
    advice.extend(direct(&rates, largest, read_only));
    advice
}

fn duels<'a>(rates: &[&'a IoRate], pattern: Pattern, cache: CacheState) -> Vec<Duel<'a>> {
    let alike =
        |rate: &&&IoRate| rate.case.pattern == pattern && rate.case.cache == cache && rate.gb_per_s > 0.0;
    let of = |method: Method| rates.iter().filter(alike).filter(move |rate| rate.case.method == method);
    let duel = |read_write: &&'a IoRate| {
        let size_bytes = read_write.case.size_bytes;
        let mapped = of(Method::Mmap).chain(of(Method::MmapPopulated));
        let mmap = mapped
            .filter(|rate| rate.case.size_bytes == size_bytes)
            .max_by(|a, b| a.gb_per_s.total_cmp(&b.gb_per_s))?;
        Some(Duel { size_bytes, mmap, read_write })
    };
    of(Method::ReadWrite).filter_map(duel).collect()
}

fn detail(pattern: Pattern, cache: CacheState, last: &Duel<'_>, duels: &[Duel<'_>]) -> String {
    let mut text = format!("{pattern}, {}, {}: {}", cache.name(), size(last.size_bytes), last.figures());
    for duel in duels.iter().filter(|duel| duel.winner() != last.winner()) {
        let ahead = match duel.winner() {
            Winner::Mmap => "mmap was ahead",
            Winner::ReadWrite => "read/write was ahead",
            Winner::Neither => continue,
        };
        text.push_str(&format!("; at {} {ahead} ({})", size(duel.size_bytes), duel.figures()));
    }
    text.push('.');
    text
}

fn price_of_faults(rates: &[&IoRate], largest: u64) -> Option<String> {
    let of = |method| find(rates, method, CacheState::Warm, largest);
    let (plain, populated) = (of(Method::Mmap)?, of(Method::MmapPopulated)?);
    let figures = format!(
        "{:.2} GB/s with plain faults, {:.2} GB/s with pages brought in 2 MiB at a time",
        plain.gb_per_s, populated.gb_per_s
    );
    let factor = ratio(populated, plain);
    Some(if factor >= SAME_FACTOR {
        format!("Page faults slow a sequential mapping down by a factor of {factor:.1}: {figures}.")
    } else if factor <= 1.0 / SAME_FACTOR {
        format!("Bringing pages in first did not pay for a sequential mapping here: {figures}.")
    } else {
        format!("Page faults make little difference to a sequential mapping here: {figures}.")
    })
}

fn direct(rates: &[&IoRate], largest: u64, read_only: bool) -> Option<String> {
    let direct = find(rates, Method::Direct, CacheState::Bypassed, largest)?;
    // What is compared must have had the disk in it.
    let (cached, in_what) = if read_only {
        (find(rates, Method::ReadWrite, CacheState::Cold, largest)?.gb_per_s, "read from the disk")
    } else {
        let cold = find(rates, Method::ReadWrite, CacheState::Cold, largest)?;
        (cold.durable_gb_per_s?, "read from the disk, converted and on the disk again")
    };
    let past = direct.durable_gb_per_s.unwrap_or(direct.gb_per_s);
    Some(format!(
        "With the disk's own time ({in_what}), sequential: {past:.2} GB/s past the page cache, \
         with up to 8 requests of 1 MiB for each thread (a job has 16 in all), {cached:.2} GB/s through it."
    ))
}

fn find<'a>(rates: &[&'a IoRate], method: Method, cache: CacheState, size_bytes: u64) -> Option<&'a IoRate> {
    rates.iter().copied().find(|rate| {
        let case = rate.case;
        case.method == method
            && case.cache == cache
            && case.size_bytes == size_bytes
            && case.pattern == Pattern::Sequential
    })
}

fn ratio(a: &IoRate, b: &IoRate) -> f64 {
    if b.gb_per_s > 0.0 { a.gb_per_s / b.gb_per_s } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::super::figures::Case;
    use super::*;

    const SIZE: u64 = 16 << 20;

    fn rate(method: Method, pattern: Pattern, cache: CacheState, size_bytes: u64, gb_per_s: f64) -> IoRate {
        IoRate {
            case: Case { method, pattern, cache, size_bytes, threads: 2 },
            bytes: size_bytes,
            seconds: 1.0,
            gb_per_s,
            durable_gb_per_s: Some(gb_per_s / 2.0),
            minor_faults: 0,
            major_faults: 0,
            faults_per_mib: 0.0,
            tlb_misses_per_mib: None,
        }
    }

    fn sequential(mmap: f64, populated: f64, read_write: f64) -> Vec<IoRate> {
        [(Method::Mmap, mmap), (Method::MmapPopulated, populated), (Method::ReadWrite, read_write)]
            .map(|(method, gb_per_s)| rate(method, Pattern::Sequential, CacheState::Warm, SIZE, gb_per_s))
            .into()
    }

    #[test]
    fn the_answer_follows_the_figures() {
        let advice = recommend(&sequential(1.0, 12.0, 9.0), SIZE, 2, false);
        assert_eq!(advice[0], "mmap wins here for: sequential (cached).");
        assert!(advice[1].contains("mmap, populated 12.00 GB/s, read/write 9.00 GB/s"), "{}", advice[1]);
        assert!(advice[2].contains("by a factor of 12.0"), "{}", advice[2]);
        let advice = recommend(&sequential(1.0, 5.0, 9.0), SIZE, 2, false);
        assert_eq!(advice[0], "read/write wins here for: sequential (cached).");
        let advice = recommend(&sequential(9.5, 9.0, 9.0), SIZE, 2, false);
        assert!(advice[0].starts_with("Less than 10 % apart"), "{}", advice[0]);
        assert!(advice[2].starts_with("Page faults make little difference"), "{}", advice[2]);
    }

    #[test]
    fn another_winner_at_another_size_is_told() {
        let mut rates = sequential(1.0, 12.0, 9.0);
        for (method, gb_per_s) in [(Method::Mmap, 2.0), (Method::ReadWrite, 8.0)] {
            rates.push(rate(method, Pattern::Sequential, CacheState::Warm, SIZE / 4, gb_per_s));
        }
        let advice = recommend(&rates, SIZE, 2, false);
        assert!(
            advice[1]
                .contains("at 4.0 MiB read/write was ahead (mmap, plain faults 2.00 GB/s, read/write 8.00"),
            "{}",
            advice[1]
        );
    }

    #[test]
    fn nothing_is_said_of_what_was_not_measured() {
        assert!(recommend(&[], SIZE, 2, false).is_empty());
        assert!(recommend(&sequential(1.0, 2.0, 3.0), SIZE, 4, false).is_empty());
    }

    #[test]
    fn direct_access_is_compared_with_the_disk_in_both() {
        let mut rates = sequential(1.0, 2.0, 3.0);
        rates.push(rate(Method::Direct, Pattern::Sequential, CacheState::Bypassed, SIZE, 4.0));
        rates.push(rate(Method::ReadWrite, Pattern::Sequential, CacheState::Cold, SIZE, 3.0));
        let advice = recommend(&rates, SIZE, 2, false);
        let said = advice.last().unwrap();
        assert!(said.contains("2.00 GB/s past the page cache, with"), "{advice:?}");
        assert!(said.contains("1.50 GB/s through it"), "{advice:?}");
    }
}
