//! Do offloaded frames pass whole, and are they cut and their checksums finished exactly as the kernel does it?
//!
//! The same offloaded frames go through [`Segments`] and over a bridge to a device without offloads, where the
//! kernel cuts them; and straight out of that device, which makes our sender cut them. Long ones between short ones keep
//! their place. Needs root, or user namespaces, and `ip`, `ethtool`.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use bartizan_firewall::port::afpacket::{self, AfPacketReceiver, AfPacketSender, Opening, index_of};
use bartizan_firewall::port::virtio::{HEADER_BYTES, encode};
use bartizan_firewall::port::{Batch, CORES_MAX, Losses, Receiver, Sender};
use bartizan_packet::answer::{Link, ip_frame};
use bartizan_packet::checksum::{checksum, pseudo_header};
use bartizan_packet::ethernet::Mac;
use bartizan_packet::frame::{Checksum, Meta, Segmentation};
use bartizan_packet::parse::{TCP, UDP};
use bartizan_packet::segment::{Segments, complete};

const SENDER: Mac = [2, 0, 0, 0, 9, 1];
const INSIDE: &str = "BARTIZAN_TEST_INSIDE_NAMESPACE";
const LIMIT: Duration = Duration::from_secs(10);

/// One offloaded frame.
#[derive(Debug)]
struct Case {
    v6: bool,
    protocol: u8,
    flags: u8,
    payload: usize,
    /// 0: only the checksum is left to the network card.
    segment_bytes: u16,
}

const fn case(v6: bool, protocol: u8, flags: u8, payload: usize, segment_bytes: u16) -> Case {
    Case { v6, protocol, flags, payload, segment_bytes }
}

const CASES: &[Case] = &[
    case(false, TCP, 0x10, 60_000, 1448),
    case(false, TCP, 0x19, 4344, 1448),
    case(false, TCP, 0x99, 3001, 1000),
    case(true, TCP, 0x10, 60_000, 1428),
    case(true, TCP, 0x99, 2857, 1428),
    case(false, UDP, 0, 12_345, 1400),
    case(true, UDP, 0, 2800, 1400),
    case(false, TCP, 0x18, 501, 0),
    case(true, TCP, 0x10, 500, 0),
    case(false, UDP, 0, 333, 0),
    case(true, UDP, 0, 334, 0),
];

impl Case {
    fn frame(&self) -> (Vec<u8>, Meta) {
        let (source, destination): (IpAddr, IpAddr) = if self.v6 {
            ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap())
        } else {
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap())
        };
        let mut message = vec![0x9c, 0x40, 0x01, 0xbb];
        let field = if self.protocol == TCP {
            message.extend([0xff, 0xff, 0xf0, 0x00, 0, 0, 0, 7, 0x80, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
            // Timestamps, as every modern stack sends them.
            message.extend([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
            16
        } else {
            message.extend(((8 + self.payload) as u16).to_be_bytes());
            message.extend([0, 0]);
            6
        };
        message.extend((0..self.payload).map(|at| (at * 7) as u8));
        let sum = pseudo_header(source, destination, self.protocol, message.len());
        message[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        let link = Link { source: SENDER, destination: [2, 0, 0, 0, 9, 2] };
        let mut frame = ip_frame(link, source, destination, self.protocol, 64, &message);
        let start = 14 + if self.v6 { 40 } else { 20 };
        if !self.v6 {
            // An identification that counts around.
            frame[18..20].copy_from_slice(&[0xff, 0xfe]);
            frame[24..26].fill(0);
            let sum = checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        let segmentation = match (self.segment_bytes, self.protocol, self.v6) {
            (0, ..) => Segmentation::None,
            (_, UDP, _) => Segmentation::Udp,
            (_, _, false) => Segmentation::TcpV4,
            (_, _, true) => Segmentation::TcpV6,
        };
        let transport = if self.protocol == TCP { 32 } else { 8 };
        let meta = Meta {
            checksum: Checksum::Partial { start: start as u16, offset: field as u16 },
            segmentation,
            segment_bytes: self.segment_bytes,
            header_bytes: (start + transport) as u16,
            ..Meta::default()
        };
        (frame, meta)
    }

    fn ours(&self) -> Vec<Vec<u8>> {
        let (mut frame, mut meta) = self.frame();
        let Some(mut segments) = Segments::of(&frame, meta) else {
            complete(&mut frame, &mut meta);
            return vec![frame];
        };
        let mut all = Vec::new();
        let mut buffer = vec![0; 2000];
        while let Some(length) = segments.write(&mut buffer) {
            all.push(buffer[..length].to_vec());
        }
        all
    }
}

/// Runs the test again in a fresh network namespace, which belongs to a process, by `unshare` with these words; whether
/// this is not that one yet.
fn runs_inside(test: &str, unshare: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let me = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(unshare).arg(me).args(["--exact", test, "--nocapture"]);
    let output = command.env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    true
}

/// Rights over the namespace alone.
const AS_USER: &[&str] = &["--user", "--map-root-user", "--net"];
/// And over the host: sockets with more memory than users may have, and programs in the kernel.
const AS_ROOT: &[&str] = &["--net"];

fn may_be_root() -> bool {
    Command::new("unshare").args(AS_ROOT).arg("true").status().unwrap().success()
}

fn open(device: &str) -> (AfPacketReceiver, AfPacketSender) {
    let index = index_of(device).unwrap();
    afpacket::open(&Opening { device, index, mtu_bytes: 1500, ring_mib: 8, fanout: None }).unwrap()
}

fn sendable(frame: &[u8], meta: &Meta) -> Vec<u8> {
    let mut sendable = vec![0; HEADER_BYTES];
    encode(meta, &mut sendable);
    sendable.extend_from_slice(frame);
    sendable
}

#[test]
fn long_frames_come_whole_and_in_their_place() {
    if runs_inside("long_frames_come_whole_and_in_their_place", AS_USER) {
        return;
    }
    let arrived = long_frames();
    assert_eq!(arrived, 0, "who may not load a program has nobody who counts");
}

#[test]
fn long_frames_come_so_from_the_queue_and_are_counted_by_core() {
    if !may_be_root() || runs_inside("long_frames_come_so_from_the_queue_and_are_counted_by_core", AS_ROOT) {
        return;
    }
    let arrived = long_frames();
    assert!(arrived > 20 * 8 * 60_000, "{arrived} bytes");
}

/// Sends long frames between short ones, which must all come, in order; the bytes that were counted, on all cores.
fn long_frames() -> u64 {
    run("ip link add name left type veth peer name right; ip link set left up; ip link set right up");
    let (mut receiver, (_, mut sender)) = (open("right").0, open("left"));
    let long = case(false, TCP, 0x10, 60_000, 1448);
    let short = case(false, UDP, 0, 300, 0);
    let jumbo = case(true, TCP, 0x10, 2900, 1428);
    let sent: Vec<_> = [&long, &short, &long, &long, &jumbo, &long, &short, &long, &long, &long, &short, &jumbo, &long]
        .into_iter()
        .enumerate()
        .map(|(number, case)| {
            let (mut frame, meta) = case.frame();
            // Somewhere in the payload.
            let last = frame.len() - 1;
            frame[last] = number as u8;
            (frame, meta)
        })
        .collect();
    let mut sendables: Vec<_> = sent.iter().map(|(frame, meta)| sendable(frame, meta)).collect();
    for round in 0..20 {
        assert_eq!(sender.send(&mut sendables.iter_mut().map(Vec::as_mut_slice)), 0);
        let came = receive(&mut receiver, sent.len());
        assert_eq!(came.len(), sent.len(), "round {round}");
        for (number, ((came, offload), (frame, meta))) in came.iter().zip(&sent).enumerate() {
            assert!(came == frame, "frame {number} of round {round}: {} of {} bytes", came.len(), frame.len());
            let expected = (meta.checksum, meta.segmentation, meta.segment_bytes);
            assert_eq!((offload.checksum, offload.segmentation, offload.segment_bytes), expected, "frame {number}");
        }
    }
    assert_eq!(receiver.losses(), Losses::default());
    let mut by_core = [0; CORES_MAX];
    receiver.add_arrivals(&mut by_core);
    by_core.iter().sum()
}

#[test]
fn frames_are_cut_as_the_kernel_cuts_them() {
    if runs_inside("frames_are_cut_as_the_kernel_cuts_them", AS_USER) {
        return;
    }
    run("ip link add name left type veth peer name right; ip link add name out type veth peer name end");
    run("ip link add name bridge type bridge; ip link set right master bridge; ip link set out master bridge");
    run("ethtool -K out tx off tso off gso off");
    run("for device in left right out end bridge; do ip link set $device up; done");
    run("until [ $(bridge link | grep -c 'state forwarding') = 2 ]; do sleep 0.05; done");
    let (mut receiver, _) = open("end");
    for device in ["left", "out"] {
        let (_, mut sender) = open(device);
        for case in CASES {
            let (frame, meta) = case.frame();
            let mut sendable = sendable(&frame, &meta);
            assert_eq!(sender.send(&mut std::iter::once(sendable.as_mut_slice())), 0, "{case:?} by {device}");
            let ours = case.ours();
            let kernels = receive(&mut receiver, ours.len());
            for (number, (ours, (kernels, meta))) in ours.iter().zip(&kernels).enumerate() {
                assert_eq!(ours, kernels, "segment {number} of {case:?} by {device}");
                assert_eq!(*meta, Meta::default(), "the kernel left nothing to do");
            }
        }
    }
    assert_eq!(receive(&mut receiver, 0).len(), 0, "the kernel made no more segments than we");
}

fn run(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The next frames of our sender; the kernel's own neighbour and router talk is passed over.
fn receive(receiver: &mut dyn Receiver, count: usize) -> Vec<(Vec<u8>, Meta)> {
    let (mut frames, start) = (Vec::new(), Instant::now());
    loop {
        let mut batch = Batch::new();
        receiver.receive(&mut batch);
        for mut slot in batch.into_slots() {
            let frame = slot.frame().unwrap();
            let is_ours = frame.view()[6..12] == SENDER && [TCP, UDP].contains(&protocol(frame.view()));
            if is_ours {
                frames.push((frame.view().to_vec(), Meta { headroom: 0, ..frame.meta }));
            }
        }
        receiver.release();
        if frames.len() >= count {
            return frames;
        }
        assert!(start.elapsed() < LIMIT, "{} of {count} frames came", frames.len());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn protocol(frame: &[u8]) -> u8 {
    if frame[12..14] == [0x86, 0xdd] { frame[20] } else { frame[23] }
}
