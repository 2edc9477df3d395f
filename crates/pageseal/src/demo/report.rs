//! The figures of a demonstration, as people read them.

use std::fmt;

use super::figures::{DemoReport, FaultCounts, MemoryGrowth};

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} mapped with MAP_SHARED and worked on in place; threads, and parts of the file: {}",
            size(self.bytes),
            self.threads
        )?;
        let lines = [
            Line {
                name: "XOR with 0xAA".into(),
                seconds: self.xor.seconds,
                gb_per_s: self.xor.gb_per_s,
                verified: format!("{} of {} bytes are 0xEB", self.verified_bytes.xor, self.bytes),
                faults: self.faults.xor,
                memory: self.memory.xor,
            },
            Line {
                name: format!("{}, chunks sealed: {}", self.aead.suite, self.chunks),
                seconds: self.aead.seconds,
                gb_per_s: self.aead.gb_per_s,
                verified: format!(
                    "{} of {} bytes opened again to 0x41",
                    self.verified_bytes.aead, self.bytes
                ),
                faults: self.faults.aead,
                memory: self.memory.aead,
            },
        ];
        for line in &lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "{}", self.conclusion())?;
        for path in &self.kept {
            write!(f, "\nkept: {}", path.display())?;
        }
        Ok(())
    }
}

impl DemoReport {
    /// One sentence, made from the figures, on what they show.
    #[must_use]
    pub fn conclusion(&self) -> String {
        let memory = format!(
            "The file is {}, and private memory {} during the XOR and {} during the encryption",
            size(self.bytes),
            change(self.memory.xor.private_growth_bytes),
            change(self.memory.aead.private_growth_bytes),
        );
        if self.bytes == 0 || self.xor.seconds <= 0.0 {
            return format!("{memory}; there was too little work to compare their times.");
        }
        let factor = self.aead.seconds / self.xor.seconds;
        format!("{memory}; authenticated encryption took {factor:.2} times the time of the XOR.")
    }
}

/// What is printed of one job.
struct Line {
    name: String,
    seconds: f64,
    gb_per_s: f64,
    verified: String,
    faults: FaultCounts,
    memory: MemoryGrowth,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {:.3} ms, {:.2} GB/s; {}",
            self.name,
            self.seconds * 1e3,
            self.gb_per_s,
            self.verified
        )?;
        write!(
            f,
            "    page faults: {} minor, {} major; resident memory: private {}, shared {}",
            self.faults.minor,
            self.faults.major,
            signed_size(self.memory.private_growth_bytes),
            signed_size(self.memory.shared_growth_bytes)
        )
    }
}

/// Bytes in the largest unit that leaves at least one of it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let power = (bytes.ilog2() as usize / 10).min(UNITS.len());
    let value = bytes as f64 / (1_u64 << (10 * power)) as f64;
    format!("{value:.1} {}", UNITS[power - 1])
}

fn signed_size(bytes: i64) -> String {
    let sign = if bytes < 0 { '-' } else { '+' };
    format!("{sign}{}", size(bytes.unsigned_abs()))
}

fn change(bytes: i64) -> String {
    match bytes {
        0 => "did not change".into(),
        1.. => format!("grew by {}", size(bytes.unsigned_abs())),
        _ => format!("shrank by {}", size(bytes.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_unit_that_fits() {
        let cases = [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (64 << 20, "64.0 MiB"),
            (3 << 29, "1.5 GiB"),
            (1 << 50, "1024.0 TiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(signed_size(-2048), "-2.0 KiB");
        assert_eq!(change(-2048), "shrank by 2.0 KiB");
        assert_eq!(change(2048), "grew by 2.0 KiB");
    }
}
