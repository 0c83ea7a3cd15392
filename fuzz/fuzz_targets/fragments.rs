//! Fragments in any order, size and number: does the engine panic, keep them for ever, or send what nobody
//! could put together?
//!
//! Each step of the input is one fragment: family, identification, place, length, flags, time. What leaves has
//! to be datagrams whose fragments follow one another from the first to the last; every fragment that came in
//! has to be accounted for in the end.
#![no_main]

use std::sync::{Arc, OnceLock};

use bartizan_engine::Engine;
use bartizan_engine::settings::{Limits, Settings};
use bartizan_engine::verdict::{Port, Time, Verdict};
use bartizan_fuzz::CONFIG;
use bartizan_model::{device, xml};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::arp::Arp;
use bartizan_packet::bytes::put_u16;
use bartizan_packet::fragment::Piece;
use bartizan_packet::frame::{Frame, Meta};
use bartizan_packet::parse::{Parsed, parse};
use bartizan_packet::{checksum, ndp};
use bartizan_policy::compile::compile;
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::{Compiled, Ids};
use libfuzzer_sys::fuzz_target;

const SECOND: u64 = 1_000_000_000;
const HOST: [u8; 6] = [2, 9, 9, 9, 9, 9];
const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn tables() -> Arc<Compiled> {
    static TABLES: OnceLock<Arc<Compiled>> = OnceLock::new();
    let compiled = TABLES.get_or_init(|| {
        let root = xml::parse(CONFIG).expect("well-formed");
        let report = device::read(&root, device::Scope::Device);
        let config = report.config.unwrap_or_else(|| panic!("{:?}", report.diagnostics));
        Arc::new(compile(&config, &Facts::default(), &mut Ids::default(), 1).expect("compiles"))
    });
    Arc::clone(compiled)
}

/// One fragment of a UDP datagram, as the step says.
fn fragment(step: &[u8; 6]) -> Vec<u8> {
    let [kind, place, length, content, ..] = *step;
    let (offset, more) = (u16::from(place) * 8, kind & 2 != 0);
    let mut data = vec![content; usize::from(length)];
    if offset == 0 && data.len() >= 8 {
        data[..8].copy_from_slice(&[0x9c, 0x40, 0, 53, 0, 0, 0, 0]);
    }
    let id = u16::from(kind >> 4);
    let link = Link { source: HOST, destination: OWN };
    if kind & 1 == 0 {
        let (source, destination) = ([10, 1, 0, 5].into(), [198, 51, 100, 9].into());
        let mut bytes = ip_frame(link, source, destination, 17, 64, &data);
        put_u16(&mut bytes, 18, id);
        put_u16(&mut bytes, 20, offset / 8 | if more { 0x2000 } else { 0 } | if kind & 4 != 0 { 0x4000 } else { 0 });
        put_u16(&mut bytes, 24, 0);
        let value = checksum::checksum(&bytes[14..34]);
        put_u16(&mut bytes, 24, value);
        return bytes;
    }
    let mut message = vec![if kind & 4 == 0 { 17 } else { content }, 0];
    message.extend((offset | u16::from(more)).to_be_bytes());
    message.extend([0, 0]);
    message.extend(id.to_be_bytes());
    message.extend(data);
    let address = |text: &str| text.parse().expect("an address");
    ip_frame(link, address("2001:db8:1::5"), address("2001:db8:100::9"), 44, 64, &message)
}

#[derive(Default)]
struct Left {
    /// Where the next fragment of the datagram that is leaving has to begin.
    next: Option<usize>,
}

impl Left {
    fn see(&mut self, bytes: &[u8], meta: Meta) {
        let Ok(Parsed::Ip(packet)) = parse(bytes, meta) else { panic!("cannot be read: {bytes:02x?}") };
        assert_eq!(meta.fragment_bytes, 0, "what leaves is cut already");
        if !packet.fragment {
            assert_eq!(self.next, None, "in the middle of a datagram");
            return;
        }
        let piece = Piece::read(bytes, &packet).expect("a fragment");
        assert_eq!(piece.offset, self.next.unwrap_or(0));
        assert!(piece.offset > 0 || piece.holds_headers(bytes, &packet));
        self.next = piece.more.then_some(piece.offset + piece.end - piece.data);
    }
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        fragment_datagrams: 4,
        fragment_datagrams_per_source: 3,
        fragments_per_datagram: 6,
        fragment_bytes: 2000,
        ..Limits::default()
    };
    let mut engine = Engine::new(Settings { limits, seed: 1, ..Settings::default() });
    let tables = tables();
    engine.install(Arc::clone(&tables), Time(0));
    for (id, interface) in tables.interfaces().filter(|(_, interface)| !interface.loopback) {
        let _ = interface;
        engine.attach(Port::Data(id), OWN);
    }
    let port = Port::Data(tables.interface_id("ethernet1/1").expect("configured"));
    let (mut now, mut left) = (Time(SECOND), Left::default());
    for step in data.as_chunks::<6>().0.iter().take(256) {
        now = Time(now.0 + u64::from(step[4]) * SECOND / 16);
        engine.handle_timeout(now);
        let mut bytes = fragment(step);
        let mut frame = Frame::new(&mut bytes);
        let verdict = engine.handle_frame(port, &mut frame, now);
        let meta = frame.meta;
        if matches!(verdict, Verdict::Transmit(_)) {
            left.see(&bytes, meta);
        }
        while let Some(transmit) = engine.poll_transmit() {
            let mut answer = if let Some(arp) = Arp::read(&transmit.bytes) {
                arp.reply(HOST)
            } else if let Ok(Parsed::Ip(packet)) = parse(&transmit.bytes, transmit.meta)
                && let Some(ndp::Message::Solicitation { target, .. }) = ndp::Message::read(&transmit.bytes, &packet)
            {
                ndp::advertise(HOST, OWN, target, target)
            } else {
                left.see(&transmit.bytes, transmit.meta);
                continue;
            };
            let _ = engine.handle_frame(transmit.port, &mut Frame::new(&mut answer), now);
        }
        while engine.poll_event().is_some() {}
    }
    assert_eq!(left.next, None, "a datagram without its end");
    engine.handle_timeout(Time(now.0 + 5000 * SECOND));
    let kept = engine.poll_timeout().is_some_and(|(_, what)| what.contains("fragments"));
    assert!(!kept, "fragments are kept for ever");
});
