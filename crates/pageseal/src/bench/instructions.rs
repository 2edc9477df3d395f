//! Which instructions the ciphers take on this processor.
//!
//! The libraries choose at run time and do not tell; what stands here follows their choice as it is in the versions of
//! `Cargo.lock` (libaegis: `aegis256x2.c`; AWS-LC: `gcm.c`, `chacha20_poly1305_x86_64.pl`).

use pageseal_crypto::Suite;

use super::figures::CipherWork;
use super::machine::cpu_features;

/// Names for people; "portable code" where none of the fast ones are there.
pub(super) fn instructions_of(work: CipherWork) -> &'static str {
    match work {
        CipherWork::Xor | CipherWork::Copy => "as compiled",
        _ if cfg!(target_arch = "x86_64") => on_x86_64(work, |feature| cpu_features().contains(&feature)),
        _ if cfg!(target_arch = "aarch64") => on_aarch64(work, cpu_features().contains(&"AES")),
        _ => "portable code",
    }
}

fn on_x86_64(work: CipherWork, has: impl Fn(&str) -> bool) -> &'static str {
    match work {
        CipherWork::Seal(Suite::Xaes256Gcm) | CipherWork::Open(Suite::Xaes256Gcm) => {
            if has("VAES") && has("VPCLMULQDQ") && has("AVX-512") {
                "VAES, VPCLMULQDQ, AVX-512"
            } else if has("AES-NI") && has("PCLMULQDQ") {
                "AES-NI, PCLMULQDQ"
            } else {
                "portable code"
            }
        }
        CipherWork::Seal(Suite::XChaCha20Poly1305) | CipherWork::Open(Suite::XChaCha20Poly1305) => {
            // AWS-LC asks for BMI2 too, which came with AVX2. Its other assembly wants SSE4.1, which every processor
            // with AES-NI has.
            if has("AVX2") {
                "AVX2"
            } else if has("AES-NI") {
                "SSE4.1"
            } else {
                "as AWS-LC chooses"
            }
        }
        _ if has("VAES") && has("AVX2") => "VAES, AVX2",
        _ if has("AES-NI") => "AES-NI",
        _ => "portable code",
    }
}

fn on_aarch64(work: CipherWork, has_aes: bool) -> &'static str {
    match work {
        CipherWork::Seal(Suite::XChaCha20Poly1305) | CipherWork::Open(Suite::XChaCha20Poly1305) => "NEON",
        _ if has_aes => "AES",
        _ => "portable code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_instructions_are_named() {
        let wide = |feature: &str| {
            ["AES-NI", "PCLMULQDQ", "AVX2", "VAES", "VPCLMULQDQ", "AVX-512"].contains(&feature)
        };
        let old = |feature: &str| ["AES-NI", "PCLMULQDQ"].contains(&feature);
        let none = |_: &str| false;
        let [aegis, gcm, chacha] = Suite::ALL.map(CipherWork::Seal);
        assert_eq!(
            [aegis, gcm, chacha].map(|work| on_x86_64(work, wide)),
            ["VAES, AVX2", "VAES, VPCLMULQDQ, AVX-512", "AVX2"]
        );
        assert_eq!(
            [aegis, gcm, chacha].map(|work| on_x86_64(work, old)),
            ["AES-NI", "AES-NI, PCLMULQDQ", "SSE4.1"]
        );
        assert_eq!(on_x86_64(CipherWork::Fingerprint, none), "portable code");
        assert_eq!(on_x86_64(chacha, none), "as AWS-LC chooses");
        assert_eq!(on_aarch64(gcm, true), "AES");
        assert_eq!(on_aarch64(chacha, false), "NEON");
    }
}
