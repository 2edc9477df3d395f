//! Paths as words that a shell takes back, for the commands that messages propose.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Quotes `path` so that it can be pasted into a shell: bare where that is safe, in single quotes else,
/// in `$'..'` where bytes cannot be shown.
pub fn shell_quote(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    // A leading dash would be taken for an option.
    let prefix = if bytes.first() == Some(&b'-') { "./" } else { "" };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(is_bare) => format!("{prefix}{text}"),
        Ok(text) if !text.chars().any(is_unprintable) => {
            format!("'{prefix}{}'", text.replace('\'', r"'\''"))
        }
        _ => format!("$'{prefix}{}'", escape_bytes(path.as_os_str())),
    }
}

/// Escapes what could move the cursor, recolour the terminal or reorder a line: file names and labels come
/// from others.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if is_unprintable(c) { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || "_./+:@%,=-".contains(c)
}

/// What moves the cursor, ends the line, or turns the direction of the text around.
pub fn is_unprintable(c: char) -> bool {
    const ARABIC_LETTER_MARK: char = '\u{61c}';
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c == ARABIC_LETTER_MARK
}

fn escape_bytes(text: &OsStr) -> String {
    text.as_bytes()
        .iter()
        .map(|&byte| match byte {
            b'\'' | b'\\' => format!("\\{}", char::from(byte)),
            0x20..=0x7e => char::from(byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_the_shell() {
        for (path, quoted) in [
            ("video.mkv", "video.mkv"),
            ("/a/b-c_d.sealed", "/a/b-c_d.sealed"),
            ("-rf", "./-rf"),
            ("- x", "'./- x'"),
            ("my video.mkv", "'my video.mkv'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("", "''"),
            ("a\nb'c", r"$'a\x0ab\'c'"),
        ] {
            assert_eq!(shell_quote(Path::new(path)), quoted);
        }
        let not_utf8 = OsStr::from_bytes(b"a\xffb");
        assert_eq!(shell_quote(Path::new(not_utf8)), r"$'a\xffb'");
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        assert_eq!(printable("plain ü"), "plain ü");
        assert_eq!(printable("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
        assert_eq!(printable("\u{202e}gpj"), "\\u{202e}gpj");
    }
}
