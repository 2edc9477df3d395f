//! RFC 10032: AEGIS-256X2, and AEGIS-128X2 as a MAC.

use aegis::aegis256x2::Aegis256X2;
use serde_json::Value;

use super::{array, bytes, vectors};
use crate::aegis_recovery::AegisRecovery;
use crate::fingerprint::FingerprintKey;
use crate::secret::Secret;

fn aegis_256x2() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/aegis-256x2.json")).unwrap()
}

#[test]
fn aegis_256x2_seals_and_opens_the_vectors() {
    for vector in vectors(&aegis_256x2()) {
        let cipher = Aegis256X2::<32>::new(&array(vector, "key"), &array(vector, "nonce"));
        let (ad, message) = (bytes(vector, "ad"), bytes(vector, "msg"));
        let mut buf = message.clone();
        let tag = cipher.encrypt_in_place(&mut buf, &ad);
        assert_eq!(buf, bytes(vector, "ct"));
        assert_eq!(tag, array(vector, "tag256"));
        cipher.decrypt_in_place(&mut buf, &tag, &ad).unwrap();
        assert_eq!(buf, message);
    }
}

#[test]
fn the_recovery_reads_the_vectors() {
    for vector in vectors(&aegis_256x2()) {
        let key = Secret::from_bytes(array(vector, "key"));
        let ciphertext = bytes(vector, "ct");
        let mut plaintext = vec![0; ciphertext.len()];
        AegisRecovery::new(&key, array(vector, "nonce"), bytes(vector, "ad")).read(
            &mut plaintext,
            0,
            &ciphertext,
        );
        assert_eq!(plaintext, bytes(vector, "msg"));
    }
}

#[test]
fn a_fingerprint_is_aegismac_128x2() {
    let file = serde_json::from_str(include_str!("../../tests/vectors/aegismac-128x2.json")).unwrap();
    for vector in vectors(&file) {
        let nonce: [u8; 16] = array(vector, "nonce");
        let (words, _) = nonce.as_chunks::<8>();
        let key = FingerprintKey::new(Secret::from_bytes(array(vector, "key")));
        let fingerprint =
            key.block(u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]), &bytes(vector, "data"));
        assert_eq!(fingerprint, array(vector, "tag128"));
    }
}
