//! Where do secrets and identifiers come from? The operating system's generator, by way of `rand`.

use rand::Rng as _;
use rand::distr::{Alphanumeric, SampleString as _};

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    rand::rng().random()
}

/// Letters and digits: about 5.95 bits each.
pub(crate) fn alphanumeric(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}

/// Decimal digits.
pub(crate) fn digits(length: usize) -> String {
    let mut random = rand::rng();
    (0..length).map(|_| char::from(b'0' + random.random_range(0..10u8))).collect()
}
