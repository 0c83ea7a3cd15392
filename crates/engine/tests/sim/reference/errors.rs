//! Where does an ICMP error go, and what does it say then?

use super::super::frames::{Body, Packet};
use super::hairpin::Found;
use super::session::Kind;
use super::{Answer, DROP, Expected, Forward, Reference};

impl Reference {
    /// An ICMP error travels with the packets that answer the quoted one.
    pub(super) fn error(&mut self, ingress: &str, packet: &Packet, quoted: &Packet) -> Expected {
        let answering = quoted.tuple().reversed();
        if quoted.source != packet.destination {
            return DROP;
        }
        let (at, realm) = match self.find_arrived(ingress, &answering) {
            Found::Session(at, realm) => (at, realm),
            Found::Returning(at, to_server) => return self.error_comes_back((at, to_server), packet),
            Found::Taken | Found::Nowhere => return DROP,
        };
        if !self.rematch(at) {
            self.sessions.remove(at);
            return DROP;
        }
        let session = &self.sessions[at];
        if !matches!(session.kind, Kind::Forward { .. } | Kind::Host { .. }) {
            return DROP;
        }
        let from_client = session.is_client(&realm, &answering);
        self.forget_tunnel(at, from_client, true);
        let hop = self.is_hop(at);
        if packet.ttl <= 1 && hop {
            return Expected::Drop(Answer::Nothing);
        }
        let Some((tuple, interface, station)) = self.way(at, from_client) else { return DROP };
        let station = self.turned(ingress, &interface).unwrap_or(station);
        // Nobody is told about an error.
        if self.too_big(at, from_client, &interface, packet).is_some() {
            return DROP;
        }
        self.count(at, from_client, packet);
        self.note("ICMP error about a session");
        let session = &self.sessions[at];
        // Who hides behind the sender's translation stays hidden; any other reporter keeps its address.
        let source = if answering.source == tuple.source { packet.source } else { tuple.source };
        let mut quoted = Box::new(quoted.with_tuple(&tuple.reversed()));
        // What the client saw of the server's numbers was ahead of them.
        let ahead = session.relay.and_then(|relay| relay.ahead).filter(|_| from_client);
        if let (Body::Tcp { sequence, .. }, Some(ahead)) = (&mut quoted.body, ahead) {
            *sequence = sequence.wrapping_sub(ahead);
        }
        let Body::Error { kind, code, word, .. } = packet.body else { return DROP };
        let packet = Packet {
            fragmentable: packet.fragmentable,
            class: packet.class,
            source,
            destination: tuple.destination,
            ttl: packet.ttl - u8::from(hop),
            body: Body::Error { kind, code, word, quoted },
            mss: 0,
            payload: Vec::new(),
        };
        let longest = self.longest.min(self.room(at, from_client, &interface).into());
        let header = self.around(at, from_client, &interface);
        Expected::Forward(Forward {
            interface,
            station,
            packet,
            longest,
            outer_longest: self.turned_longest(at, from_client),
            header,
            segment_bytes: 0,
            source: None,
            session: at,
        })
    }
}
