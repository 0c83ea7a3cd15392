//! What do the firewall's own addresses answer?
//!
//! Ping, by the engine itself; HTTP and HTTPS health checks, by the host's own TCP. Both only where the
//! interface's management profile says so, to whom it says so. Nothing else.

use bartizan_packet::answer;
use bartizan_packet::ethernet;
use bartizan_packet::frame::{Checksum, Frame};
use bartizan_packet::parse::{Layer4, Packet};
use bartizan_policy::tables::{IfaceId, Service};

use crate::engine::{Engine, local_host};
use crate::ingress::Arrival;
use crate::install::{Exit, Plan};
use crate::key::{Key, LOCAL_REALM};
use crate::pipeline::{Staged, drop};
use crate::session::Kind;
use crate::table::Slot;
use crate::verdict::{DropReason, SessionState, Verdict};

impl Engine {
    /// How a session that ends at the firewall goes on; `iface` holds the address.
    pub(crate) fn plan_local(&mut self, iface: IfaceId, packet: &Packet, key: &Key) -> Staged<Plan> {
        if matches!(packet.layer4, Layer4::Echo { reply: false, .. }) && self.may_ping(iface, packet.source) {
            let tuple = key.tuple();
            return Ok(Plan {
                kind: Kind::LocalEcho,
                egress: iface,
                tuple,
                lease: None,
                exit: Exit::Nowhere,
                server_realm: key.realm(),
            });
        }
        let Some(port) = self.local_port(iface, key) else { return drop(DropReason::LocalService) };
        let translation = self.token(local_host(packet.destination), port, LOCAL_REALM)?;
        Ok(Plan {
            kind: Kind::LocalService,
            egress: iface,
            tuple: translation.tuple,
            lease: translation.lease,
            exit: Exit::Local,
            server_realm: LOCAL_REALM,
        })
    }

    /// The host's port that answers this flow, if something does.
    pub(crate) fn local_port(&self, iface: IfaceId, key: &Key) -> Option<u16> {
        let interface = self.tables.as_ref()?.interface(iface)?;
        let local = self.settings.local?;
        let flow = key.flow();
        self.local_mac?;
        if !(flow.source.is_ipv4() || local.ipv6) {
            return None;
        }
        match interface.service(flow.source, flow.protocol, flow.destination_port) {
            Ok(Service::Http) => Some(local.http_port),
            Ok(Service::Https) => Some(local.https_port),
            Ok(Service::Ping) | Err(_) => None,
        }
    }

    /// Whether the interface that holds an address answers this source's ping.
    pub(crate) fn may_ping(&self, iface: IfaceId, source: std::net::IpAddr) -> bool {
        let interface = self.tables.as_ref().and_then(|tables| tables.interface(iface));
        interface.is_some_and(|interface| interface.ping && interface.permits(source))
    }

    /// The echo reply, in the request's own frame, back to the station it came from.
    pub(crate) fn answer_echo(
        &mut self,
        slot: Slot,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
    ) -> Staged<Verdict> {
        let session = &mut self.table[slot];
        session.last = self.now;
        session.state = SessionState::Active;
        for side in &mut session.sides {
            side.counts.0 += arrival.wire.0;
            side.counts.1 += arrival.wire.1;
        }
        self.reply_to_echo(arrival, frame, packet)
    }

    /// The echo reply without a session, for link-local addresses.
    pub(crate) fn reply_to_echo(
        &mut self,
        arrival: &Arrival,
        frame: &mut Frame<'_>,
        packet: &Packet,
    ) -> Staged<Verdict> {
        let Some(mac) = self.mac_of(arrival.port) else { return drop(DropReason::PortDown) };
        answer::echo_reply(frame.bytes, packet);
        if packet.partial {
            bartizan_packet::rewrite::finish_icmp(frame.bytes, packet);
            frame.meta.checksum = Checksum::Complete;
        }
        // In a tunnel it is turned with the headers around it.
        if !self.is_tunnel(arrival.port) {
            ethernet::address(frame.bytes, arrival.station, mac);
        }
        self.counters.echo_answers += 1;
        Ok(Verdict::Transmit(arrival.port))
    }
}
