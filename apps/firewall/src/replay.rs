//! What would the firewall do with the packets of these captures, and why?
//!
//! The real engine, fed from capture files in the order of their time and by their clock. Every packet
//! gets a [`Line`] that says what became of it; what leaves is written to one file per interface.
//! Neighbours that the engine asks for answer at once, with the MAC the capture knows or a made-up one.
//! One worker with a fixed seed: the same captures give the same answer.

mod line;
mod link;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bartizan_engine::Engine;
use bartizan_engine::settings::{LocalLink, Settings as EngineSettings};
use bartizan_engine::verdict::{Port, Time, Verdict};
use bartizan_packet::ethernet::{self, Mac};
use bartizan_packet::frame::{Frame, Meta, Segmentation};
use bartizan_packet::parse::{Packet, Parsed, TCP, parse};
use bartizan_policy::tables::Compiled;

use self::line::describe;
pub use self::line::{DropSummary, Line, Sent, Summary};
use self::link::{Neighbors, station};
use crate::port::pcap::{Capture, Record, Recorder};
use crate::port::{Batch, HEADROOM, Receiver as _, Sender as _, Slot, seal};
use crate::settings::SESSIONS_DEFAULT;

/// MAC of the engine's end of the local link in a replay.
const LOCAL_MAC: Mac = [2, 0, 0, 0, 1, 0];
/// MAC of the host behind it.
const HOST_MAC: Mac = [2, 0, 0, 0, 1, 1];
/// What the firewall's own services are called where interfaces are named.
const HOST: &str = "host";

/// What to replay.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Interfaces, and the capture of what each received.
    pub inputs: Vec<(String, PathBuf)>,
    /// MACs of interfaces, where the captures do not tell.
    pub macs: Vec<(String, Mac)>,
    /// Folder for one capture per interface of what left by it.
    pub out: Option<PathBuf>,
}

/// Replays captures; each packet is told to `tell`.
///
/// # Errors
/// When a capture cannot be read, an interface is not configured, a MAC cannot be found out, or `tell`
/// fails.
pub fn replay(tables: &Arc<Compiled>, request: &Request, tell: &mut dyn FnMut(&Line) -> Result<()>) -> Result<Summary> {
    let mut inputs = open(tables, request)?;
    let mut replay = Replay::new(tables, &inputs, request)?;
    let mut start = None;
    while let Some(position) = earliest(&mut inputs)? {
        let input = &mut inputs[position];
        let Some(record) = input.capture.peek()? else { continue };
        let start = *start.get_or_insert(record.at_ns);
        let mut batch = Batch::new();
        input.capture.receive(&mut batch);
        for slot in batch.into_slots() {
            let line = replay.frame(input.outlet, slot, record, start);
            tell(&line)?;
            replay.summary.count(&line);
        }
        input.capture.release();
    }
    replay.end()
}

/// A capture and the interface that received it.
struct Input {
    outlet: usize,
    capture: Capture,
    mac: Option<Mac>,
}

/// Opens the captures and finds out the interfaces' MACs.
fn open(tables: &Compiled, request: &Request) -> Result<Vec<Input>> {
    let outlets = outlets(tables);
    let mut inputs: Vec<Input> = Vec::new();
    let known = |name: &str| outlets.iter().position(|(_, known)| known == name);
    for name in request.inputs.iter().map(|(name, _)| name).chain(request.macs.iter().map(|(name, _)| name)) {
        if known(name).is_none() {
            let names: Vec<&str> = outlets.iter().map(|(_, name)| name.as_str()).collect();
            bail!("the configuration has no interface `{name}`; it has: {}", names.join(", "));
        }
    }
    for (name, path) in &request.inputs {
        let Some(outlet) = known(name) else { continue };
        if inputs.iter().any(|input| input.outlet == outlet) {
            bail!("`{name}` has two captures: merge them first, e.g. with `mergecap`");
        }
        let given = request.macs.iter().find(|(given, _)| given == name).map(|(_, mac)| *mac);
        let mac = match given {
            Some(mac) => Some(mac),
            None => station(&mut Capture::open(path)?, own_addresses(tables, outlets[outlet].0))
                .with_context(|| format!("name the MAC of `{name}`, as in `--mac {name}=02:00:00:00:00:01`"))?,
        };
        inputs.push(Input { outlet, capture: Capture::open(path)?, mac });
    }
    Ok(inputs)
}

fn own_addresses(tables: &Compiled, port: Port) -> Vec<std::net::IpAddr> {
    match port {
        Port::Data(id) => {
            tables.interface(id).into_iter().flat_map(|one| &one.addresses).map(|net| net.addr()).collect()
        }
        Port::Local => Vec::new(),
    }
}

/// The configured interfaces that frames can come and go by.
fn outlets(tables: &Compiled) -> Vec<(Port, String)> {
    let links = tables.interfaces().filter(|(_, interface)| !interface.loopback);
    links.map(|(id, interface)| (Port::Data(id), interface.name.to_string())).collect()
}

/// The input whose next frame is the earliest; the first of them when there are several.
fn earliest(inputs: &mut [Input]) -> Result<Option<usize>> {
    let mut best: Option<(u64, usize)> = None;
    for (position, input) in inputs.iter_mut().enumerate() {
        if let Some(record) = input.capture.peek()?
            && best.is_none_or(|(at, _)| record.at_ns < at)
        {
            best = Some((record.at_ns, position));
        }
    }
    Ok(best.map(|(_, position)| position))
}

/// An interface of the replay.
struct Outlet {
    port: Port,
    name: String,
    mac: Mac,
    recorder: Option<Recorder>,
}

struct Replay<'a> {
    tables: &'a Compiled,
    engine: Engine,
    outlets: Vec<Outlet>,
    neighbors: Neighbors,
    summary: Summary,
    packets: u64,
}

impl<'a> Replay<'a> {
    fn new(tables: &'a Arc<Compiled>, inputs: &[Input], request: &Request) -> Result<Self> {
        let mut engine = Engine::new(EngineSettings {
            sessions_max: SESSIONS_DEFAULT,
            local: Some(LocalLink { host_mac: Some(HOST_MAC), http_port: 80, https_port: 443, ipv6: true }),
            ..EngineSettings::default()
        });
        if let Some(folder) = &request.out {
            std::fs::create_dir_all(folder).with_context(|| format!("make the folder `{}`", folder.display()))?;
        }
        let mut all = Vec::new();
        for (position, (port, name)) in outlets(tables).into_iter().enumerate() {
            let captured = inputs.iter().find(|input| input.outlet == position).and_then(|input| input.mac);
            let given = request.macs.iter().find(|(given, _)| *given == name).map(|(_, mac)| *mac);
            let mac = captured.or(given).unwrap_or([2, 0, 0, 0, 0, position as u8]);
            all.push((port, name, mac));
        }
        all.push((Port::Local, HOST.to_owned(), LOCAL_MAC));
        let mut outlets = Vec::new();
        for (port, name, mac) in all {
            let file = format!("{}.pcap", name.replace('/', "-"));
            let recorder = request.out.as_ref().map(|folder| Recorder::create(&folder.join(file))).transpose()?;
            engine.attach(port, mac);
            outlets.push(Outlet { port, name, mac, recorder });
        }
        engine.install(Arc::clone(tables), Time(0));
        let (neighbors, summary) = (Neighbors::default(), Summary::default());
        Ok(Self { tables, engine, outlets, neighbors, summary, packets: 0 })
    }

    /// One captured frame through the engine.
    fn frame(&mut self, position: usize, mut slot: Slot<'_>, record: Record, start_ns: u64) -> Line {
        self.packets += 1;
        let now = Time(record.at_ns.saturating_sub(start_ns));
        for outlet in self.outlets.iter_mut().filter_map(|outlet| outlet.recorder.as_mut()) {
            outlet.set_time(record.at_ns);
        }
        let outlet = &self.outlets[position];
        let (port, mac) = (outlet.port, outlet.mac);
        let mut line = Line::new(self.packets, record, now, &outlet.name);
        let timers = self.pass_time(now);
        line.sent.extend(timers);
        let Some(mut frame) = slot.frame() else { return line };
        frame.meta = self.offload(port, &frame);
        line.packet = describe(frame.view(), frame.meta);
        if frame.view().len() >= ethernet::HEADER_BYTES && ethernet::source(frame.view()) == mac {
            line.verdict = "own";
            return line;
        }
        let packet = match parse(frame.view(), frame.meta) {
            Ok(Parsed::Ip(packet)) => Some(packet),
            _ => None,
        };
        if let Some(packet) = &packet {
            self.neighbors.saw(port, packet.source, ethernet::source(frame.view()));
        }
        let vlan = frame.meta.vlan;
        let verdict = self.engine.handle_frame(port, &mut frame, now);
        let meta = frame.meta;
        if let Verdict::Transmit(to) = verdict {
            let mut bytes = vec![0; HEADROOM];
            bytes.extend_from_slice(frame.bytes.get(usize::from(meta.headroom)..).unwrap_or_default());
            line.sent.extend(self.leave(to, seal(&mut bytes, &meta), meta));
        }
        line.sent.extend(self.drain(now));
        self.conclude(&mut line, verdict, (port, vlan), packet.as_ref());
        line
    }

    fn conclude(&self, line: &mut Line, verdict: Verdict, (port, vlan): (Port, u16), packet: Option<&Packet>) {
        line.verdict = match verdict {
            Verdict::Drop(reason) => {
                line.reason = Some(reason.as_str());
                line.description = Some(reason.describe());
                "dropped"
            }
            _ if line.sent.is_empty() => "consumed",
            _ => "sent",
        };
        let Some(packet) = packet else { return };
        if let Some(session) = self.engine.session_of(port, vlan, packet) {
            line.belongs_to(&session, self.tables);
        }
        if matches!(verdict, Verdict::Drop(_)) {
            line.explain = line::explain(&line.interface, packet);
        }
    }

    /// Lets the engine do what became due before `now`; what it sent.
    fn pass_time(&mut self, now: Time) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some((due, _)) = self.engine.poll_timeout()
            && due < now
        {
            self.engine.handle_timeout(due);
            sent.extend(self.drain(due));
        }
        sent
    }

    /// What the engine made or had kept, neighbour questions answered at once.
    fn drain(&mut self, now: Time) -> Vec<Sent> {
        let mut sent = Vec::new();
        loop {
            while self.engine.poll_event().is_some() {}
            let Some(transmit) = self.engine.poll_transmit() else { return sent };
            let mut bytes = vec![0; HEADROOM];
            bytes.extend_from_slice(&transmit.bytes);
            let answer = self.neighbors.answer(transmit.port, &transmit.bytes);
            let vlan = transmit.meta.vlan;
            let left = self.leave(transmit.port, seal(&mut bytes, &transmit.meta), transmit.meta);
            match answer {
                Some(mut answer) => {
                    let mut frame = Frame { bytes: &mut answer, meta: Meta { vlan, ..Meta::default() } };
                    let verdict = self.engine.handle_frame(transmit.port, &mut frame, now);
                    debug_assert_eq!(verdict, Verdict::Consumed, "an answer to a question ends in the engine");
                }
                None => sent.extend(left),
            }
        }
    }

    /// Writes a frame to the file of its interface.
    fn leave(&mut self, to: Port, sendable: &mut [u8], meta: Meta) -> Option<Sent> {
        let outlet = self.outlets.iter_mut().find(|outlet| outlet.port == to)?;
        // The tag is the interface's, not the packet's.
        let mut untagged = sendable.to_vec();
        let packet = Slot::with_tag(&mut untagged, 0).and_then(|mut slot| Some(describe(slot.frame()?.bytes, meta)));
        if let Some(recorder) = &mut outlet.recorder {
            recorder.send(&mut std::iter::once(sendable));
        }
        Some(Sent { interface: outlet.name.clone(), packet: packet.unwrap_or_default() })
    }

    /// A TCP packet beyond the interface's MTU was captured before a network card would have cut it (or
    /// after one put it together): it is what a port with segmentation offload delivers.
    fn offload(&self, port: Port, frame: &Frame<'_>) -> Meta {
        let Port::Data(id) = port else { return frame.meta };
        let mtu_bytes = self.tables.interface(id).map_or(0, |interface| usize::from(interface.mtu_bytes));
        let Ok(Parsed::Ip(packet)) = parse(frame.view(), frame.meta) else { return frame.meta };
        let headers = packet.header_bytes();
        if packet.protocol != TCP || mtu_bytes <= headers || packet.ip_bytes() <= mtu_bytes {
            return frame.meta;
        }
        let segmentation = if packet.is_v4() { Segmentation::TcpV4 } else { Segmentation::TcpV6 };
        Meta {
            segmentation,
            segment_bytes: (mtu_bytes - headers) as u16,
            header_bytes: (packet.network + headers) as u16,
            ..frame.meta
        }
    }

    fn end(self) -> Result<Summary> {
        for outlet in self.outlets {
            outlet.recorder.map(Recorder::finish).transpose()?;
        }
        Ok(self.summary)
    }
}
