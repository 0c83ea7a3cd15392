//! Which worker has a flow? As `engine::steer` defines it.

use std::net::IpAddr;

use super::super::frames::Tuple;
use super::Reference;

impl Reference {
    /// The worker at which the packets of a flow arrive.
    pub(super) fn home(&self, flow: &Tuple) -> u32 {
        let ports = if matches!(flow.protocol, 6 | 17) { flow.source_port ^ flow.destination_port } else { 0 };
        let words = [flow.source, flow.destination].into_iter().flat_map(words);
        let mut fold = words.fold(u32::from(ports), |fold, word| fold ^ word);
        for shift in [16, 8, 4] {
            fold ^= fold >> shift;
        }
        fold % u32::from(self.workers)
    }
}

fn words(address: IpAddr) -> Vec<u32> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    octets.chunks(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]])).collect()
}
