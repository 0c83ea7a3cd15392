//! Is what left the engine what should have left?

use super::super::frames::{Body, Mac, Packet, RST, Tuple};
use super::super::reference::{Answer, Expected, Station};
use super::wire::mac;
use super::{Sent, World};

impl World {
    pub(super) fn judge(
        &mut self,
        interface: &str,
        station: Mac,
        packet: &Packet,
        expected: &Expected,
        mut sent: Vec<Sent>,
    ) -> Result<Option<(String, Packet)>, String> {
        match expected {
            Expected::Drop(answer) => {
                self.met(match answer {
                    Answer::Nothing => "dropped in silence",
                    Answer::Reset => "told by a reset",
                    Answer::Unreachable => "told that it is unreachable",
                    Answer::TimeExceeded => "told that its time is exceeded",
                    Answer::TooBig(_) => "told that it is too big",
                });
                self.check_answer(interface, station, packet, *answer, &mut sent)?;
                self.check_resets(sent)?;
                Ok(None)
            }
            Expected::EchoReply(reply) => {
                self.met("echo answered");
                let out = take(&mut sent).ok_or("no echo reply")?;
                self.check_resets(sent)?;
                let right = out.interface == interface
                    && out.destination == station
                    && out.packet == *reply
                    && out.header == self.reference.header;
                if right { Ok(None) } else { Err("another echo reply".into()) }
            }
            Expected::Cookie(answer) => {
                self.met("SYN answered with a cookie");
                let at =
                    sent.iter().position(|sent| sent.interface == interface && sent.packet.tuple() == answer.tuple());
                let out = sent.remove(at.ok_or("no cookie")?);
                self.check_resets(sent)?;
                let Body::Tcp { sequence: cookie, .. } = out.packet.body else { return Err("no TCP".into()) };
                let mut right = answer.clone();
                if let Body::Tcp { sequence, .. } = &mut right.body {
                    *sequence = cookie;
                }
                if out.packet != right || out.destination != station {
                    return Err("another answer to a SYN".into());
                }
                let realm = self.reference.realm(interface).ok_or("no realm")?;
                self.reference.give(realm, packet, cookie);
                self.given = Some(cookie);
                Ok(None)
            }
            Expected::Handshake(made) => {
                self.met("server of a cookie answered");
                let mut last = None;
                for (interface, to, packet) in made {
                    let station = match to {
                        Station::Neighbor(ip) => mac(*ip),
                        Station::Mac(mac) => *mac,
                    };
                    let at = sent.iter().position(|sent| {
                        sent.interface == self.shown(interface) && sent.destination == station && sent.packet == *packet
                    });
                    let Some(at) = at else {
                        let lost = matches!(to, Station::Neighbor(ip) if self.deserted.contains(ip));
                        return if lost { Ok(None) } else { Err(format!("not sent by {interface}: {packet:?}")) };
                    };
                    sent.remove(at);
                    last.get_or_insert((interface.clone(), packet.clone()));
                }
                self.check_resets(sent)?;
                Ok(last)
            }
            Expected::Forward(forward) => {
                let lost = matches!(forward.station, Station::Neighbor(ip) if self.deserted.contains(&ip));
                if lost && sent.is_empty() {
                    return Ok(None);
                }
                self.met("forwarded");
                let out = take(&mut sent).ok_or("not forwarded")?;
                self.check_resets(sent)?;
                self.reference.learn(forward, &out.packet)?;
                let mut right = forward.packet.clone();
                if forward.source.is_some() {
                    let tuple = Tuple {
                        source: out.packet.source,
                        source_port: out.packet.tuple().source_port,
                        ..right.tuple()
                    };
                    right = right.with_tuple(&tuple);
                }
                if out.header.is_some() {
                    self.met("left into the tunnel");
                }
                if out.longest < out.packet.bytes().len() && out.segment_bytes == 0 {
                    self.met("left in fragments");
                }
                if out.longest > forward.longest {
                    return Err(format!("left in packets of {} bytes", out.longest));
                }
                if let Some(most) = forward.outer_longest {
                    let around =
                        self.network.tunnel.zip(out.header).map_or(0, |(tunnel, header)| tunnel.overhead(header));
                    let whole = out.packet.bytes().len() + around;
                    if out.outer_longest.is_some() {
                        self.met("what is around it left in fragments");
                    }
                    if out.outer_longest.unwrap_or(whole) > most {
                        return Err(format!("what is around it left in packets longer than {most} bytes"));
                    }
                } else if out.outer_longest.is_some() {
                    return Err("what is around it left in fragments".into());
                }
                if out.segment_bytes != forward.segment_bytes {
                    return Err(format!("left to be cut into segments of {} bytes", out.segment_bytes));
                }
                if out.packet.class != 0 {
                    self.met("forwarded with its class");
                }
                if out.packet != right {
                    return Err("forwarded, but as another packet".into());
                }
                if out.interface != self.shown(&forward.interface) {
                    return Err(format!("forwarded by {}", out.interface));
                }
                if out.header != forward.header {
                    return Err(format!("forwarded behind {:?}", out.header));
                }
                let neighbor = match forward.station {
                    Station::Neighbor(ip) => mac(ip),
                    Station::Mac(mac) => mac,
                };
                if out.destination != neighbor {
                    return Err(format!("forwarded to station {:02x?}, not {neighbor:02x?}", out.destination));
                }
                Ok(Some((out.interface, out.packet)))
            }
        }
    }

    fn check_answer(
        &self,
        interface: &str,
        station: Mac,
        packet: &Packet,
        answer: Answer,
        sent: &mut Vec<Sent>,
    ) -> Result<(), String> {
        let wanted = |body: &Body| match (answer, body) {
            (Answer::Reset, Body::Tcp { flags, .. }) => flags & RST != 0,
            (Answer::Unreachable, Body::Error { kind, code, quoted, .. }) => {
                matches!((kind, code), (3, 13) | (1, 1)) && quoted.quotes(packet)
            }
            (Answer::TimeExceeded, Body::Error { kind, code, quoted, .. }) => {
                let kinds = if packet.source.is_ipv4() { (11, 0) } else { (3, 0) };
                (*kind, *code) == kinds && quoted.quotes(packet)
            }
            (Answer::TooBig(mtu), Body::Error { kind, code, word, quoted }) => {
                let kinds = if packet.source.is_ipv4() { (3, 4) } else { (2, 0) };
                ((*kind, *code), *word) == (kinds, u32::from(mtu)) && quoted.quotes(packet)
            }
            _ => false,
        };
        if answer == Answer::Nothing {
            return Ok(());
        }
        // Who cannot be reached, or does not answer, is not told.
        let Some((interface, to, header)) = self.reference.answers_by(interface, station, packet) else {
            return Ok(());
        };
        if matches!(to, Station::Neighbor(ip) if self.deserted.contains(&ip)) {
            return Ok(());
        }
        let station = match to {
            Station::Neighbor(ip) => mac(ip),
            Station::Mac(mac) => mac,
        };
        let at = sent.iter().position(|sent| {
            sent.interface == interface
                && sent.destination == station
                && sent.header == header
                && sent.packet.destination == packet.source
                && wanted(&sent.packet.body)
        });
        let at = at.ok_or_else(|| format!("no answer {answer:?}"))?;
        if answer == Answer::Reset && sent[at].packet.tuple() != packet.tuple().reversed() {
            return Err("a reset for another connection".into());
        }
        sent.remove(at);
        Ok(())
    }

    /// What else left may only be resets of connections that a commit refused.
    pub(super) fn check_resets(&mut self, sent: Vec<Sent>) -> Result<(), String> {
        let mut allowed = self.reference.take_resets();
        allowed.iter_mut().for_each(|(interface, _)| *interface = self.shown(interface));
        for sent in sent {
            let reset = matches!(sent.packet.body, Body::Tcp { flags, .. } if flags & RST != 0);
            let known = allowed.iter().position(|allowed| *allowed == (sent.interface.clone(), sent.packet.tuple()));
            match known.filter(|_| reset) {
                Some(at) => drop(allowed.remove(at)),
                None if self.reference.may_ask(&sent.interface, &sent.packet) => {}
                None => return Err(format!("also sent by {}: {:?}", sent.interface, sent.packet)),
            }
        }
        Ok(())
    }
}

fn take(sent: &mut Vec<Sent>) -> Option<Sent> {
    let reset = |sent: &Sent| matches!(sent.packet.body, Body::Tcp { flags, .. } if flags & RST != 0);
    // A forwarded packet comes before what the engine made itself, unless it waited for its neighbour.
    let at = sent.iter().position(|sent| !reset(sent)).or(if sent.is_empty() { None } else { Some(0) })?;
    Some(sent.remove(at))
}
