//! Do both ends of a TCP connection agree on segments that fit the interfaces between them?

use bartizan_packet::frame::Frame;
use bartizan_packet::mss;
use bartizan_packet::parse::{Layer4, Packet};

use crate::engine::Engine;
use crate::session::Direction;
use crate::table::Slot;
use crate::verdict::Port;

impl Engine {
    /// Lowers the segment size of a SYN to what the interfaces it passes allow. Each end announces what
    /// it wants to receive, and that comes by both interfaces, too.
    #[inline]
    pub(crate) fn clamp_mss(
        &mut self,
        slot: Slot,
        direction: Direction,
        arrival: Port,
        frame: &mut Frame<'_>,
        packet: &Packet,
    ) {
        let Layer4::Tcp(tcp) = packet.layer4 else { return };
        if !tcp.flags.syn() {
            return;
        }
        let exit = self.paths.get(self.table[slot].sides[direction.index()].path).map(|path| path.port);
        let limit = |port| match port {
            Port::Data(iface) => self.links.get(iface.index())?.mss_bytes,
            Port::Local => None,
        };
        let limits = [Some(arrival), exit].into_iter().flatten().filter_map(limit);
        let lowest = limits.map(|(v4, v6)| if packet.is_v4() { v4 } else { v6 }).min();
        if lowest.is_some_and(|limit_bytes| mss::clamp(frame.bytes, packet, limit_bytes)) {
            self.counters.mss_lowered += 1;
        }
    }
}
