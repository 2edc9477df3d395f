//! The line format that age's recipients files and identity files share.

/// The lines that say something, with their numbers from 1: neither blank nor a comment (`#`).
/// White space around them, a carriage return too, is none of theirs.
pub(super) fn meaningful_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// The bytes as text, or the number of the first line that is none.
pub(super) fn utf8_or_line(bytes: &[u8]) -> Result<&str, usize> {
    std::str::from_utf8(bytes).map_err(|error| {
        let newlines = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n');
        newlines.count() + 1
    })
}

/// Whether `text` begins with `prefix`, in any mixture of cases: mistyped secrets are secrets too.
pub(super) fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blanks_are_skipped_but_counted() {
        let lines: Vec<_> = meaningful_lines("# one\n\n  two \r\n\t\n#x\nthree").collect();
        assert_eq!(lines, [(3, "two"), (6, "three")]);
    }

    #[test]
    fn the_line_that_is_no_text_is_found() {
        assert_eq!(utf8_or_line(b"a\nb"), Ok("a\nb"));
        assert_eq!(utf8_or_line(b"\xff"), Err(1));
        assert_eq!(utf8_or_line(b"a\nb\n\xc3("), Err(3));
    }

    #[test]
    fn prefixes_may_end_inside_a_character() {
        assert!(starts_with_ignoring_case("age-Secret-x", "AGE-SECRET-"));
        assert!(!starts_with_ignoring_case("agé", "AGE"));
        assert!(!starts_with_ignoring_case("ag", "AGE"));
    }
}
