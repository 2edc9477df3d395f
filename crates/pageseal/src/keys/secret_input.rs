//! Reading input that may be secret, so that no unwiped copy of it stays in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::KeyError;

const FIRST_CAPACITY: usize = 4096;

/// Reads a whole file. `None` if it is longer than `limit_bytes`.
///
/// # Errors
/// [`KeyError::Io`].
pub(super) fn read_secret_file(
    path: &Path,
    limit_bytes: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
    File::open(path)
        .and_then(|file| read_secret(file, limit_bytes))
        .map_err(|source| KeyError::Io { path: path.into(), source })
}

/// Reads to the end. `None` if that is more than `limit_bytes` away.
///
/// `Read::read_to_end` would leave a copy behind each time it moves to a larger buffer.
pub(super) fn read_secret(
    mut input: impl Read,
    limit_bytes: usize,
) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut buffer = Zeroizing::new(vec![0; FIRST_CAPACITY]);
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            let mut larger = Zeroizing::new(vec![0; 2 * filled]);
            larger[..filled].copy_from_slice(&buffer);
            buffer = larger;
        }
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if filled > limit_bytes {
            return Ok(None);
        }
    }
    buffer.truncate(filled);
    Ok(Some(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_any_length_up_to_the_limit() {
        for len in [0, 1, FIRST_CAPACITY - 1, FIRST_CAPACITY, FIRST_CAPACITY + 1, 50_000] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let read = read_secret(&bytes[..], 50_000).unwrap().unwrap();
            assert_eq!(*read, bytes);
        }
    }

    #[test]
    fn one_byte_too_many_is_noticed() {
        assert!(read_secret(&[0; 10][..], 10).unwrap().is_some());
        assert!(read_secret(&[0; 11][..], 10).unwrap().is_none());
        assert!(read_secret(io::repeat(1), 1 << 20).unwrap().is_none());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_secret_file(Path::new("/nonexistent/key.txt"), 10).unwrap_err();
        assert!(matches!(error, KeyError::Io { path, .. } if path == Path::new("/nonexistent/key.txt")));
    }
}
