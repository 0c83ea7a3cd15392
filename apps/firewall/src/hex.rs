//! Bytes as lower-case hexadecimal digits and back.

use std::fmt::Write;

use serde::{Deserialize, Deserializer, Serializer};
use sha2::{Digest, Sha256};

/// Digits of some bytes.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes of some digits; `None` for anything but pairs of lower-case digits.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
        .collect()
}

/// SHA-256 of a text, in digits.
pub fn sha256(text: &str) -> String {
    encode(&Sha256::digest(text.as_bytes()))
}

/// For `#[serde(with)]` on byte vectors.
pub mod bytes {
    use super::{Deserialize, Deserializer, Serializer, decode, encode};

    /// Writes digits.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    /// Reads digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| serde::de::Error::custom("not hexadecimal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_round_trip_and_nothing_else_is_read() {
        assert_eq!(encode(&[0, 0x9f, 255]), "009fff");
        assert_eq!(decode("009fff"), Some(vec![0, 0x9f, 255]));
        for bad in ["0", "0G", "FF", "+1", " 1", "ä"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
