//! Sizes, rates and times as people write and read them. Units are binary: 1 KiB = 1024 bytes.

const UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Why a text is no size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No digits in front.
    #[error("a size is a whole number with KiB, MiB, GiB or TiB behind it, for example 64MiB")]
    NoNumber,
    /// A unit that is not taken: `MB` could mean two things.
    #[error("unknown unit {unit:?}: use B, KiB, MiB, GiB or TiB (1 KiB = 1024 bytes)")]
    UnknownUnit {
        /// What stood behind the number.
        unit: String,
    },
    /// 2^64 bytes and more.
    #[error("the size is too large")]
    TooLarge,
    /// A chunk size that the format does not have.
    #[error("a chunk is a power of two from 64KiB to 1MiB")]
    NoChunkSize,
}

/// Parses `4096`, `64KiB`, `64 mib`, `2GiB`, `1TiB` into bytes.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(SizeError::NoNumber);
    }
    let unit = unit.trim_start();
    let factor = match unit {
        "" => 1,
        _ => UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|&(_, factor)| factor)
            .ok_or_else(|| SizeError::UnknownUnit { unit: unit.to_owned() })?,
    };
    let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
    number.checked_mul(factor).ok_or(SizeError::TooLarge)
}

/// Parses a chunk size in bytes: a power of two, 64 KiB to 1 MiB.
pub fn parse_chunk_size(text: &str) -> Result<u64, SizeError> {
    let bytes = parse_size(text)?;
    if bytes.is_power_of_two() && (64 << 10..=1 << 20).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(SizeError::NoChunkSize)
    }
}

/// `5.0 GiB`, `512 B`.
pub fn format_size(bytes: u64) -> String {
    // Rounding must not give "1024.0 KiB": such a value is shown in the next unit.
    let (name, factor) =
        UNITS.iter().rev().find(|&&(_, factor)| tenths(bytes, factor) >= 10).copied().unwrap_or(UNITS[0]);
    if factor == 1 {
        return format!("{bytes} B");
    }
    let tenths = tenths(bytes, factor);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

fn tenths(bytes: u64, factor: u64) -> u128 {
    (u128::from(bytes) * 10 + u128::from(factor / 2)) / u128::from(factor)
}

/// `2.4 GiB/s`; nothing where the time is too short to divide by.
pub fn format_rate(bytes: u64, seconds: f64) -> Option<String> {
    // A rate needs no more precision than an f64 has.
    (bytes > 0 && seconds > 1e-6).then(|| format!("{}/s", format_size((bytes as f64 / seconds) as u64)))
}

/// `12 ms`, `2.1 s`, `3 min 20 s`, `2 h 5 min`.
pub fn format_seconds(seconds: f64) -> String {
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes) = (whole / 3600, whole / 60 % 60);
    if hours == 0 { format!("{minutes} min {} s", whole % 60) } else { format!("{hours} h {minutes} min") }
}

/// Whole per cent, never 100 before all is done.
pub fn percent(done_bytes: u64, total_bytes: u64) -> u64 {
    if total_bytes == 0 || done_bytes >= total_bytes {
        return 100;
    }
    let percent = u128::from(done_bytes) * 100 / u128::from(total_bytes);
    u64::try_from(percent).unwrap_or(99)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("12B", 12),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            (" 1MiB ", 1 << 20),
            ("5GiB", 5 << 30),
            ("3TiB", 3 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "KiB", "-1", "+1", "x", "1.5GiB".trim_start_matches("1")] {
            assert_eq!(parse_size(text), Err(SizeError::NoNumber), "{text}");
        }
        for text in ["1MB", "1K", "1.5GiB", "1KiBs", "1 2", "0x10"] {
            let result = parse_size(text);
            assert!(matches!(result, Err(SizeError::UnknownUnit { .. })), "{text}");
        }
        for text in ["18446744073709551616", "16777216TiB"] {
            assert_eq!(parse_size(text), Err(SizeError::TooLarge), "{text}");
        }
    }

    #[test]
    fn chunk_sizes_are_powers_of_two_within_limits() {
        assert_eq!(parse_chunk_size("64KiB"), Ok(65_536));
        assert_eq!(parse_chunk_size("1MiB"), Ok(1 << 20));
        for text in ["0", "32KiB", "65535", "96KiB", "2MiB"] {
            assert_eq!(parse_chunk_size(text), Err(SizeError::NoChunkSize), "{text}");
        }
    }

    #[test]
    fn sizes_are_formatted() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1.0 KiB"),
            (900, "900 B"),
            (65_536, "64.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn times_and_rates_are_formatted() {
        assert_eq!(format_seconds(0.0123), "12 ms");
        assert_eq!(format_seconds(0.9999), "1.0 s");
        assert_eq!(format_seconds(2.12), "2.1 s");
        assert_eq!(format_seconds(59.96), "1 min 0 s");
        assert_eq!(format_seconds(200.0), "3 min 20 s");
        assert_eq!(format_seconds(7500.0), "2 h 5 min");
        assert_eq!(format_rate(1 << 30, 0.5).as_deref(), Some("2.0 GiB/s"));
        assert_eq!(format_rate(1 << 30, 0.0), None);
        assert_eq!(format_rate(0, 1.0), None);
    }

    #[test]
    fn hundred_per_cent_means_done() {
        assert_eq!(percent(0, 10), 0);
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(10, 10), 100);
        assert_eq!(percent(0, 0), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
