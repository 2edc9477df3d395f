//! C2SP `XAES-256-GCM.md`: the two worked examples and the accumulated random test.

use serde_json::Value;

use super::shake128::Shake128;
use super::{array, bytes, vectors};
use crate::secret::Secret;
use crate::xaes::Xaes;

fn xaes_file() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/xaes-256-gcm.json")).unwrap()
}

#[test]
fn worked_examples() {
    for vector in vectors(&xaes_file()) {
        let cipher = Xaes::new(&Secret::from_bytes(array(vector, "key")));
        let nonce = array(vector, "nonce");
        let (k1, derived_key) = cipher.internals(&nonce);
        assert_eq!(k1, array(vector, "k1"));
        assert_eq!(derived_key, array(vector, "kx"));

        let (aad, plaintext) = (bytes(vector, "aad"), bytes(vector, "plaintext"));
        let mut buf = plaintext.clone();
        let tag = cipher.seal(&nonce, &aad, &mut buf);
        assert_eq!([&buf, tag.as_slice()].concat(), bytes(vector, "ciphertext"));
        cipher.open(&nonce, &aad, &tag, &mut buf).unwrap();
        assert_eq!(buf, plaintext);
    }
}

#[test]
fn ten_thousand_random_messages() {
    let file = xaes_file();
    let accumulated = &file["accumulated"];
    let mut random = Shake128::absorbing().squeezing();
    let mut hash = Shake128::absorbing();
    for _ in 0..accumulated["iterations"].as_u64().unwrap() {
        let cipher = Xaes::new(&Secret::from_bytes(random.array()));
        let nonce = random.array();
        let plaintext = random.short_string();
        let aad = random.short_string();
        let mut buf = plaintext.clone();
        let tag = cipher.seal(&nonce, &aad, &mut buf);
        hash.absorb(&buf);
        hash.absorb(&tag);
        cipher.open(&nonce, &aad, &tag, &mut buf).unwrap();
        assert_eq!(buf, plaintext);
    }
    assert_eq!(hash.squeezing().array::<32>(), array(accumulated, "shake128"));
}
