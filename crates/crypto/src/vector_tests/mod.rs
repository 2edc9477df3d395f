//! Published test vectors, run through the very code that seals files.

mod aegis;
mod shake128;
mod wycheproof_sets;
mod xaes;

use serde_json::Value;

/// The hexadecimal string in `value[field]`, decoded.
fn bytes(value: &Value, field: &str) -> Vec<u8> {
    let digits = value[field].as_str().expect("a string");
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hexadecimal digits"))
        .collect()
}

fn array<const N: usize>(value: &Value, field: &str) -> [u8; N] {
    bytes(value, field).try_into().expect("the right length")
}

/// The vectors in a file, of which there must be some.
fn vectors(file: &Value) -> &[Value] {
    let vectors = file["vectors"].as_array().expect("a list of vectors");
    assert!(!vectors.is_empty());
    vectors
}
