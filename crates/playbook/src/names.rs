//! What is a generated object called?
//!
//! The same for the same thing, whatever else there is; within the limits of PAN-OS; and so that a person sees what it is.

use sha2::{Digest as _, Sha256};

/// Longest name of a rule or an address group (PAN-OS 11.1).
const NAME_MAX: usize = 63;
/// Hex digits of a digest in a rule's name; the policy's name stands beside them.
const SHORT: usize = 8;
/// Hex digits of a digest that stands alone.
const LONG: usize = 16;

fn digest(text: &str, digits: usize) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.take(digits).filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
}

/// Tag, and name, of a group.
pub(crate) fn group(cluster: &str, text: &str) -> String {
    format!("np.{cluster}.{}", digest(text, LONG))
}

/// Name of the address object of a DNS name.
pub(crate) fn domain(cluster: &str, name: &str) -> String {
    format!("np.{cluster}.fqdn.{}", digest(name, LONG))
}

/// Name of a rule: what it is for, and a digest of what it is.
pub(crate) fn rule(cluster: &str, readable: &str, identity: &str) -> String {
    let tail = digest(identity, SHORT);
    let mut name = format!("np.{cluster}.{readable}");
    name.retain(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    name.truncate(NAME_MAX - SHORT - 1);
    format!("{}.{tail}", name.trim_end_matches(['.', '-']))
}

/// The tag of everything that was made of a cluster's policies.
pub fn owner(cluster: &str) -> String {
    format!("k8s-np.{cluster}")
}

/// Most characters of the description of an address group (PAN-OS 11.1); a rule's may have one more.
const DESCRIPTION_MAX: usize = 1023;

/// A description within the limit; what does not fit is told to be missing.
pub(crate) fn description(mut text: String) -> String {
    if text.len() > DESCRIPTION_MAX {
        let mut end = DESCRIPTION_MAX - " …".len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(" …");
    }
    text
}
