//! Are the plugin's configuration, what a runtime calls it with, and the custom resources read without panic, and is what
//! they become always something that a node's programs can hold?
//!
//! The first byte chooses: a configuration with `CNI_ARGS` behind a line `%%`, a PortInfo, a SubnetInfo, annotations of a pod
//! with those of its namespace behind a line `%%`.
#![no_main]

use bartizan_cni::outside;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (first, second) = text.split_once("\n%%\n").unwrap_or((text, ""));
    match kind % 4 {
        0 => outside::call(first, second),
        1 => outside::ports(text),
        2 => outside::subnets(text),
        _ => outside::annotations(first, second),
    }
});
