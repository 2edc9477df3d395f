//! New identities, in the layout of `age-keygen`.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use age::secrecy::{ExposeSecret, SecretString};
use age::x25519;
use pageseal_storage::durability::sync_all;
use pageseal_storage::{Directory, RealDirectory};
use zeroize::Zeroizing;

use super::rfc3339::rfc3339_utc;

/// A new X25519 identity. Its secret is wiped when dropped, and not shown by `Debug`.
pub struct GeneratedIdentity {
    /// The recipient that belongs to it: `age1...`. Not secret.
    pub public: String,
    secret: SecretString,
    created_unix_seconds: u64,
}

/// Makes a new X25519 identity from the system's random numbers.
///
/// # Panics
/// If the system has no random numbers to give, which Linux never says once it has booted.
pub fn generate_identity() -> GeneratedIdentity {
    let identity = x25519::Identity::generate();
    // A clock before 1970 is no reason to fail: the date is a comment.
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    GeneratedIdentity {
        public: identity.to_public().to_string(),
        secret: identity.to_string(),
        created_unix_seconds: age.as_secs(),
    }
}

impl GeneratedIdentity {
    /// The content of an identity file, as `age-keygen` writes it. Secret.
    pub fn file_contents(&self) -> Zeroizing<String> {
        let created = rfc3339_utc(self.created_unix_seconds);
        let parts = [
            "# created: ",
            &created,
            "\n# public key: ",
            &self.public,
            "\n",
            self.secret.expose_secret(),
            "\n",
        ];
        // The capacity is exact: growing would leave a copy of the secret behind.
        let len = parts.iter().map(|part| part.len()).sum();
        let mut contents = Zeroizing::new(String::with_capacity(len));
        parts.iter().for_each(|part| contents.push_str(part));
        contents
    }

    /// Writes a new identity file that its owner alone can read. It has its name only when it is whole and durable, since
    /// files may be sealed for it at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if something has the name; those of the system. No name is left then, or if
    /// only making it durable failed, one of a whole file.
    pub fn write_new_file(&self, path: &Path) -> io::Result<()> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = RealDirectory::open(path.parent().unwrap_or(Path::new("")))?;
        let mut file = folder.create_unnamed()?;
        file.write_all(self.file_contents().as_bytes())?;
        sync_all(&file)?;
        folder.publish(&file, name)
    }
}

impl fmt::Debug for GeneratedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedIdentity").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_age_keygen() {
        let generated = generate_identity();
        let contents = generated.file_contents();
        let lines: Vec<_> = contents.split('\n').collect();
        assert_eq!(lines.len(), 4);
        let date = lines[0].strip_prefix("# created: ").unwrap();
        assert!(date.len() == 20 && date.starts_with("20") && date.ends_with('Z'), "{date}");
        assert_eq!(lines[1], format!("# public key: {}", generated.public));
        let identity: x25519::Identity = lines[2].parse().unwrap();
        assert_eq!(identity.to_public().to_string(), generated.public);
        assert_eq!(lines[3], "");
        assert_eq!(contents.len(), contents.capacity());
    }

    #[test]
    fn two_are_different_and_debug_shows_no_secret() {
        let (one, other) = (generate_identity(), generate_identity());
        assert_ne!(one.public, other.public);
        assert!(!format!("{one:?}").to_uppercase().contains("SECRET-KEY"));
    }
}
