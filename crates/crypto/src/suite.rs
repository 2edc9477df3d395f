//! The suites: one byte names the AEAD that all chunks of a file are sealed with (FORMAT.md section 4).

use std::fmt;
use std::str::FromStr;

/// An AEAD with everything about it fixed. Nothing is negotiated: the byte in the superblock decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Suite {
    /// AEGIS-256X2 with a 256-bit tag (RFC 10032). Fastest where the CPU has AES instructions.
    Aegis256X2 = 1,
    /// XAES-256-GCM (C2SP): AES-256-GCM with a 24-byte nonce.
    Xaes256Gcm = 2,
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha). Fast without AES instructions.
    XChaCha20Poly1305 = 3,
}

impl Suite {
    /// Every suite, in the order of the bytes that name them.
    pub const ALL: [Suite; 3] = [Suite::Aegis256X2, Suite::Xaes256Gcm, Suite::XChaCha20Poly1305];

    /// The byte that stands for the suite in files.
    #[must_use]
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The name that people type and read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Suite::Aegis256X2 => "aegis-256x2",
            Suite::Xaes256Gcm => "xaes-256-gcm",
            Suite::XChaCha20Poly1305 => "xchacha20-poly1305",
        }
    }

    /// Bytes of the 32-byte tag field that the suite uses; the rest is zero.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Suite::Aegis256X2 => 32,
            Suite::Xaes256Gcm | Suite::XChaCha20Poly1305 => 16,
        }
    }

    /// The fastest suite on the CPU that runs this: AEGIS where it has AES instructions, else
    /// XChaCha20-Poly1305, which needs none to be fast and free of secret-dependent timing.
    #[must_use]
    pub fn default_for_cpu() -> Self {
        if cpu_has_aes() { Suite::Aegis256X2 } else { Suite::XChaCha20Poly1305 }
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn cpu_has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_has_aes() -> bool {
    false
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl TryFrom<u8> for Suite {
    type Error = UnknownSuite;

    fn try_from(id: u8) -> Result<Self, UnknownSuite> {
        Suite::ALL.into_iter().find(|suite| suite.id() == id).ok_or(UnknownSuite(id))
    }
}

impl FromStr for Suite {
    type Err = UnknownSuiteName;

    fn from_str(name: &str) -> Result<Self, UnknownSuiteName> {
        Suite::ALL
            .into_iter()
            .find(|suite| suite.name() == name)
            .ok_or_else(|| UnknownSuiteName { name: name.to_owned() })
    }
}

/// The suite byte of a file is none that this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown suite {0}")]
pub struct UnknownSuite(
    /// The byte found.
    pub u8,
);

/// A name that belongs to no suite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown suite {name:?}")]
pub struct UnknownSuiteName {
    /// The name given.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_names_lead_back_to_the_suite() {
        for suite in Suite::ALL {
            assert_eq!(Suite::try_from(suite.id()), Ok(suite));
            assert_eq!(suite.to_string().parse(), Ok(suite));
        }
        assert_eq!(Suite::ALL.map(Suite::id), [1, 2, 3]);
        assert_eq!(Suite::ALL.map(Suite::tag_len), [32, 16, 16]);
    }

    #[test]
    fn unknown_bytes_and_names_are_refused() {
        for id in (0..=u8::MAX).filter(|id| !(1..=3).contains(id)) {
            assert_eq!(Suite::try_from(id), Err(UnknownSuite(id)));
        }
        assert!("AEGIS-256X2".parse::<Suite>().is_err());
        assert!("".parse::<Suite>().is_err());
    }
}
