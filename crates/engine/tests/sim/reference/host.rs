//! What do the firewall's own addresses answer, and what of the host's packets goes anywhere?

use std::net::IpAddr;

use super::super::frames::{Body, Mac, Packet, Tuple};
use super::super::generate::{link_local, own_mac};
use super::super::host as local;
use super::decision::{is_side, management};
use super::hairpin::Found;
use super::session::Kind;
use super::{DROP, Expected, Reference, echo_reply};

impl Reference {
    /// How a flow goes on that is for an address of an interface; `None` when it is nothing that is answered.
    pub(super) fn own_service(&self, interface: &str, flow: &Tuple) -> Option<Kind> {
        let profile = management(&self.config, interface, flow.source)?;
        if matches!(flow.protocol, 1 | 58) {
            return profile.ping.then_some(Kind::Echo);
        }
        self.host.filter(|host| host.v6 || flow.source.is_ipv4())?;
        let services = [(profile.http, local::PORTS[0]), (profile.https, local::PORTS[1])];
        let mut offered = services.iter().filter(|(offers, (outside, _))| *offers && *outside == flow.destination_port);
        let (_, (_, port)) = offered.next().filter(|_| flow.protocol == 6)?;
        Some(Kind::Host { port: *port })
    }

    /// What an interface answers by its address on the link, and for nobody else: ping, without a session.
    pub(super) fn on_the_link(&self, ingress: &str, packet: &Packet) -> Expected {
        let own = !is_side(&self.config, ingress) && packet.destination == link_local(own_mac(ingress));
        let answers = management(&self.config, ingress, packet.source).is_some_and(|profile| profile.ping);
        match packet.body {
            Body::Echo { reply: false, .. } if own && answers => Expected::EchoReply(echo_reply(packet)),
            _ => DROP,
        }
    }

    /// A packet of the host's: it only answers.
    pub(super) fn packet_of_host(&mut self, station: Mac, packet: &Packet) -> Expected {
        if let Body::Error { quoted, .. } = &packet.body {
            return self.error(local::NAME, packet, quoted);
        }
        let Found::Session(at, realm) = self.find_arrived(local::NAME, &packet.tuple()) else { return DROP };
        if !self.rematch(at) {
            self.sessions.remove(at);
            return DROP;
        }
        self.continues(at, false, local::NAME, &realm, station, packet)
    }
}

/// fe80::/10.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}
