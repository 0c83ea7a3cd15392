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
        let lowest = self.mss_limit([Some(arrival), exit].into_iter().flatten(), packet.is_v4());
        if lowest.is_some_and(|limit_bytes| mss::clamp(frame.bytes, packet, limit_bytes)) {
            self.counters.mss_lowered += 1;
        }
    }

    /// The largest segment that all of these ports allow a handshake to agree on, if one has a limit.
    pub(crate) fn mss_limit(&self, ports: impl IntoIterator<Item = Port>, v4: bool) -> Option<u16> {
        let limit = |port| match port {
            Port::Data(iface) => self.links.get(iface.index())?.mss_bytes,
            Port::Local => None,
        };
        ports.into_iter().filter_map(limit).map(|limit| if v4 { limit.0 } else { limit.1 }).min()
    }
}
