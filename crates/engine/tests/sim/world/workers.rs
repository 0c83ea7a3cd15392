//! Which worker gets a frame, and what do the workers tell one another?

use std::collections::VecDeque;

use bartizan_engine::verdict::{Event, Port, Time, Verdict};
use bartizan_packet::frame::{Frame, Meta};

use super::World;

/// A frame on a wire.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) port: Port,
    pub(super) meta: Meta,
    /// Without the room in front.
    pub(super) bytes: Vec<u8>,
}

impl World {
    /// A frame arrives at whichever worker the wire brings it to. The last verdict, and the frame if it is to be
    /// sent on.
    ///
    /// # Errors
    /// Workers that hand a frame on for ever, or have changed one that they hand on.
    pub(super) fn deliver(&mut self, frame: Raw) -> Result<(Verdict, Option<Raw>), String> {
        let first = self.dice.below(self.engines.len());
        let mut waiting = VecDeque::from([(first, frame)]);
        let mut last = (Verdict::Consumed, None);
        let mut handed = 0;
        while let Some((worker, frame)) = waiting.pop_front() {
            let Raw { port, meta, bytes } = frame;
            let mut buffer = [vec![0xee; meta.headroom.into()], bytes].concat();
            let before = if self.engines.len() > 1 { buffer.clone() } else { Vec::new() };
            let mut arrived = Frame { bytes: &mut buffer, meta };
            let verdict = self.engines[worker].handle_frame(port, &mut arrived, Time(self.now));
            let after = arrived.meta;
            self.listen(&mut waiting)?;
            match verdict {
                Verdict::Handoff(to) => {
                    handed += 1;
                    if buffer != before || handed > 2 * self.engines.len() {
                        return Err(format!("handed on {handed} times, changed: {}", buffer != before));
                    }
                    self.met("handed to another worker");
                    let bytes = buffer.split_off(meta.headroom.into());
                    waiting.push_back((to.into(), Raw { port, meta, bytes }));
                }
                Verdict::Transmit(port) => {
                    let bytes = buffer.split_off(after.headroom.into());
                    last = (verdict, Some(Raw { port, meta: after, bytes }));
                }
                Verdict::Drop(_) | Verdict::Consumed if waiting.is_empty() => last = (verdict, None),
                Verdict::Drop(_) | Verdict::Consumed => {}
            }
        }
        Ok(last)
    }

    /// What the workers have to say; datagrams that are another's are waiting then.
    fn listen(&mut self, waiting: &mut VecDeque<(usize, Raw)>) -> Result<(), String> {
        let workers = self.engines.len();
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for from in 0..workers {
                while let Some(event) = self.engines[from].poll_event() {
                    match event {
                        Event::Tell { to, message } => {
                            let everybody = (0..workers).filter(|worker| *worker != from);
                            let to: Vec<usize> = to.map_or(everybody.collect(), |to| vec![to.into()]);
                            for to in to {
                                self.engines[to].handle_peer(message, Time(self.now));
                            }
                            quiet = false;
                        }
                        Event::HandOver { to, port, bytes, meta } => {
                            if usize::from(to) == from {
                                return Err("a datagram handed to oneself".into());
                            }
                            self.met("datagram handed to another worker");
                            self.log.push(format!("            a datagram from worker {from} to {to}"));
                            waiting.push_back((to.into(), Raw { port, meta, bytes }));
                        }
                        Event::Log(_) | Event::Notice(_) | Event::Pool(_) | Event::Alarm(_) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// What the workers have to say where no frame can wait.
    ///
    /// # Errors
    /// A datagram nevertheless.
    pub(super) fn hear(&mut self) -> Result<(), String> {
        let mut waiting = VecDeque::new();
        self.listen(&mut waiting)?;
        if waiting.is_empty() { Ok(()) } else { Err("a datagram out of nowhere".into()) }
    }
}
