//! Which interface is behind a VLAN tag, and which tag does a frame of an interface carry?
//!
//! Inside of the engine a subinterface is a port like any other. Outside there is only the port it is a
//! part of, and the tag beside the frame.

use bartizan_packet::frame::{Frame, Meta};
use bartizan_policy::tables::IfaceId;

use crate::engine::Engine;
use crate::verdict::{DropReason, Port, Verdict};

/// A subinterface's port and tag, and the subinterface.
pub(crate) type Tagged = ((IfaceId, u16), IfaceId);

impl Engine {
    /// The interface that a frame came in by; `None` when no subinterface of the port has its tag.
    #[inline]
    pub(crate) fn untag(&self, port: Port, meta: Meta) -> Option<Port> {
        if meta.vlan == 0 {
            return Some(port);
        }
        let Port::Data(iface) = port else { return None };
        let at = self.tags.binary_search_by_key(&(iface, meta.vlan), |(wire, _)| *wire).ok()?;
        self.tags.get(at).map(|(_, part)| Port::Data(*part))
    }

    /// Runs a frame from the wire: it comes in by the interface of its tag, and leaves with the tag of the
    /// interface it goes out by.
    #[inline]
    pub(crate) fn between_tags(&mut self, port: Port, frame: &mut Frame<'_>) -> Verdict {
        let vlan = frame.meta.vlan;
        let Some(arrival) = self.untag(port, frame.meta) else {
            self.counters.rx_packets += 1;
            self.counters.drop_packets(DropReason::UnknownVlan, 1);
            return Verdict::Drop(DropReason::UnknownVlan);
        };
        match self.run(arrival, frame) {
            Verdict::Transmit(exit) => {
                let (wire, tag) = self.tag(exit);
                frame.meta.vlan = tag;
                Verdict::Transmit(wire)
            }
            verdict => {
                frame.meta.vlan = vlan;
                verdict
            }
        }
    }

    /// The port that frames of an interface leave by, with their tag.
    #[inline]
    pub(crate) fn tag(&self, port: Port) -> (Port, u16) {
        let Port::Data(iface) = port else { return (port, 0) };
        match self.links.get(iface.index()).and_then(|link| link.vlan) {
            Some((wire, tag)) => (Port::Data(wire), tag),
            None => (port, 0),
        }
    }
}
