//! What do the tables say about a new flow?

use std::net::IpAddr;

use bartizan_model::device::Action;
use bartizan_packet::parse::Packet;
use bartizan_policy::decide::{Silent, decide_among};
use bartizan_policy::tables::{Decision, DropCause, Flow, Forward, IfaceId, Interface, Route};

use crate::engine::Engine;
use crate::pipeline::{Staged, drop};
use crate::verdict::DropReason;

/// A security rule's answer, refusal or not.
#[derive(Clone, Debug)]
pub(crate) struct Ruled(pub(crate) Forward);

impl Ruled {
    /// Whether the firewall may answer for the server: the server is somewhere else.
    pub(crate) fn may_be_relayed(&self) -> bool {
        !self.refuses() && matches!(self.0.route, Route::Via { .. })
    }

    pub(crate) fn refuses(&self) -> bool {
        self.0.verdict.action != Action::Allow
    }
}

impl Engine {
    pub(crate) fn decide(&mut self, iface: IfaceId, packet: &Packet) -> Staged<Ruled> {
        let (source_port, destination_port) = packet.ports();
        let flow = Flow {
            ingress: iface,
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            source_port,
            destination_port,
        };
        let Some(tables) = &self.tables else { return drop(DropReason::NoZone) };
        match decide_among(tables, &flow, &mut Silent, &mut self.spreads) {
            Decision::Dropped(cause) => drop(reason(cause)),
            Decision::Ruled(forward) => {
                if let Route::Via { iface, next_hop, .. } = forward.route
                    && tables.interface(iface).is_some_and(|egress| is_broadcast(egress, next_hop))
                {
                    return drop(DropReason::Multicast);
                }
                Ok(Ruled(forward))
            }
        }
    }
}

/// The counter for a flow that no rule saw.
pub(crate) fn reason(cause: DropCause) -> DropReason {
    match cause {
        DropCause::NoZone => DropReason::NoZone,
        DropCause::NoRouter => DropReason::NoRouter,
        DropCause::NoRoute => DropReason::NoRoute,
        DropCause::RouteDiscard => DropReason::RouteDiscard,
        DropCause::RouterLoop => DropReason::RouterLoop,
        DropCause::NoEgressZone => DropReason::NoEgressZone,
    }
}

/// Whether an address is the broadcast or network address of a connected network.
fn is_broadcast(interface: &Interface, address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    interface.addresses.iter().any(|network| match network {
        ipnet::IpNet::V4(v4) => v4.prefix_len() < 31 && (v4.broadcast() == address || v4.network() == address),
        ipnet::IpNet::V6(_) => false,
    })
}
