//! Frames out of capture files and into them: the port of a replay.
//!
//! Reads pcap (micro- and nanoseconds, either byte order) and pcapng, writes pcap with nanoseconds. The
//! clock is the capture's: each frame carries its time. A capture that was cut off at a snap length is
//! filled up with zeroes, so that lengths fit; nothing in the engine depends on payload. What is written
//! is what a wire would carry: offloaded frames are cut, unfinished checksums finished.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::mem;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bartizan_packet::frame::HEADROOM_BYTES;
use pcap_parser::traits::{PcapNGPacketBlock as _, PcapReaderIterator};
use pcap_parser::{Block, LegacyPcapReader, Linktype, PcapBlockOwned, PcapError, PcapNGReader};

use super::virtio::{HEADER_BYTES, decode};
use super::{Batch, FRAME_BYTES_MAX, Losses, Receiver, Sender, Slot, on_wire};

/// First bytes of a pcapng file.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Type, length and the length again.
const BLOCK_BYTES_MIN: u32 = 12;
/// What a record may take in a file, in bytes: far above any frame, so that a file that claims more is wrong.
const RECORD_BYTES_MAX: usize = 1 << 20;
const NANOSECONDS: u64 = 1_000_000_000;

/// A frame of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was captured, in nanoseconds since 1970.
    pub at_ns: u64,
    /// Bytes in the file.
    pub captured_bytes: usize,
    /// Bytes it had on the wire.
    pub original_bytes: usize,
}

/// A capture file that is read.
pub struct Capture {
    path: PathBuf,
    reader: Reader,
    /// Nanosecond fields (pcap).
    nanoseconds: bool,
    /// Units per second and offset in seconds of each interface of the section (pcapng).
    clocks: Vec<(u64, u64)>,
    next: Option<Record>,
    /// Time of the record before, for records without one.
    last_ns: u64,
    /// The next frame, behind room for the headers of a tunnel and its offload header.
    buffer: Vec<u8>,
    error: Option<io::Error>,
}

type Source = Box<dyn Read + Send>;

enum Reader {
    Pcap(LegacyPcapReader<Source>),
    Pcapng(PcapNGReader<Source>),
}

impl Reader {
    fn blocks(&mut self) -> &mut dyn PcapReaderIterator {
        match self {
            Self::Pcap(reader) => reader,
            Self::Pcapng(reader) => reader,
        }
    }
}

impl Capture {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read or is no capture.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("read `{}`", path.display()))?;
        Self::of(path, file)
    }

    /// Of bytes from anywhere; errors call them by `path`.
    ///
    /// # Errors
    /// When they cannot be read or are no capture.
    pub fn of(path: &Path, source: impl Read + Send + 'static) -> Result<Self> {
        let name = path.display();
        // The readers want a whole header at once, so that nothing may be taken off before.
        let mut source = BufReader::new(source);
        let is_pcapng = source.fill_buf().with_context(|| format!("read `{name}`"))?.starts_with(&PCAPNG_MAGIC);
        let source: Source = Box::new(source);
        let wrong = |error: PcapError<&[u8]>| {
            anyhow::anyhow!("`{name}` is no capture file (pcap or pcapng): {}", describe(&error))
        };
        let reader = if is_pcapng {
            Reader::Pcapng(PcapNGReader::new(RECORD_BYTES_MAX, source).map_err(wrong)?)
        } else {
            Reader::Pcap(LegacyPcapReader::new(RECORD_BYTES_MAX, source).map_err(wrong)?)
        };
        Ok(Self {
            path: path.to_owned(),
            reader,
            nanoseconds: false,
            clocks: Vec::new(),
            next: None,
            last_ns: 0,
            buffer: Vec::new(),
            error: None,
        })
    }

    /// The frame that comes next; `None` at the end.
    ///
    /// # Errors
    /// When the file is broken or is not of Ethernet frames; the frames before it were good.
    pub fn peek(&mut self) -> Result<Option<Record>> {
        while self.next.is_none() {
            if !self.advance()? {
                return Ok(None);
            }
        }
        Ok(self.next)
    }

    /// Takes the next block in; false at the end.
    fn advance(&mut self) -> Result<bool> {
        let name = self.path.display();
        let is_pcapng = matches!(self.reader, Reader::Pcapng(_));
        let blocks = self.reader.blocks();
        let (exhausted, consumed) = (blocks.reader_exhausted(), blocks.consumed());
        if is_pcapng && is_too_short(blocks.data()) {
            bail!("`{name}` is broken after {consumed} bytes: a record makes no sense");
        }
        match blocks.next() {
            Ok((length, block)) => {
                let taken = take(block, &mut self.nanoseconds, &mut self.clocks, self.last_ns, &mut self.buffer);
                blocks.consume(length);
                self.next = taken.with_context(|| format!("`{name}`"))?;
                self.last_ns = self.next.map_or(self.last_ns, |record| record.at_ns);
                return Ok(true);
            }
            Err(PcapError::Eof) => return Ok(false),
            Err(PcapError::Incomplete(_)) => {}
            Err(error) => bail!("`{name}` is broken after {consumed} bytes: {}", describe(&error)),
        }
        if exhausted {
            bail!("`{name}` is broken after {consumed} bytes: {}", describe(&PcapError::UnexpectedEof));
        }
        if let Err(error) = blocks.refill() {
            bail!("read `{name}`: {}", describe(&error));
        }
        Ok(true)
    }
}

/// Whether a pcapng block says that it is shorter than what every block has; the parser takes the word of some.
/// In the other byte order such a length is far beyond [`RECORD_BYTES_MAX`], so that the order does not matter.
fn is_too_short(block: &[u8]) -> bool {
    let length = block.get(4..8).and_then(|length| length.try_into().ok());
    length.is_some_and(|length| u32::from_le_bytes(length).min(u32::from_be_bytes(length)) < BLOCK_BYTES_MIN)
}

/// What a block brings: a frame in `buffer`, or something to know about later ones.
fn take(
    block: PcapBlockOwned<'_>,
    nanoseconds: &mut bool,
    clocks: &mut Vec<(u64, u64)>,
    last_ns: u64,
    buffer: &mut Vec<u8>,
) -> Result<Option<Record>> {
    let (at_ns, data, original) = match block {
        PcapBlockOwned::LegacyHeader(header) => {
            ethernet(header.network)?;
            *nanoseconds = header.is_nanosecond_precision();
            return Ok(None);
        }
        PcapBlockOwned::Legacy(record) => {
            let unit = if *nanoseconds { 1 } else { 1000 };
            let at = u64::from(record.ts_sec) * NANOSECONDS + u64::from(record.ts_usec) * unit;
            (at, record.data.get(..record.caplen as usize).unwrap_or(record.data), record.origlen)
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            clocks.clear();
            return Ok(None);
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            ethernet(interface.linktype)?;
            let resolution = interface.ts_resolution().filter(|units| *units > 0);
            let resolution = resolution.context("a time resolution that cannot be")?;
            clocks.push((resolution, u64::try_from(interface.ts_offset()).unwrap_or(0)));
            return Ok(None);
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let Some((resolution, offset)) = clocks.get(packet.if_id as usize).copied() else {
                bail!("a frame of interface {}, which is not described", packet.if_id);
            };
            let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let at = u128::from(units) * u128::from(NANOSECONDS) / u128::from(resolution);
            let at = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(offset.saturating_mul(NANOSECONDS));
            fill(buffer, packet.packet_data(), packet.origlen);
            return Ok(Some(record(at, packet.packet_data(), packet.origlen)));
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            fill(buffer, packet.packet_data(), packet.origlen);
            return Ok(Some(record(last_ns, packet.packet_data(), packet.origlen)));
        }
        // Names, statistics, comments.
        PcapBlockOwned::NG(_) => return Ok(None),
    };
    fill(buffer, data, original);
    Ok(Some(record(at_ns, data, original)))
}

fn record(at_ns: u64, data: &[u8], original: u32) -> Record {
    Record { at_ns, captured_bytes: data.len(), original_bytes: (original as usize).max(data.len()) }
}

/// The frame behind its room, with zeroes for what the capture cut off.
fn fill(buffer: &mut Vec<u8>, data: &[u8], original: u32) {
    buffer.clear();
    buffer.resize(HEADROOM_BYTES + HEADER_BYTES, 0);
    buffer.extend_from_slice(data);
    let whole = (original as usize).clamp(data.len(), FRAME_BYTES_MAX.max(data.len()));
    buffer.resize(HEADROOM_BYTES + HEADER_BYTES + whole, 0);
}

fn ethernet(kind: Linktype) -> Result<()> {
    if kind != Linktype::ETHERNET {
        bail!("link type {} instead of 1: only captures of Ethernet frames can be replayed", kind.0);
    }
    Ok(())
}

fn describe(error: &PcapError<&[u8]>) -> &'static str {
    match error {
        PcapError::Eof | PcapError::UnexpectedEof | PcapError::Incomplete(_) => "it ends in the middle of a record",
        PcapError::BufferTooSmall => "a record claims to be larger than 1 MiB",
        PcapError::ReadError => "it cannot be read on",
        PcapError::HeaderNotRecognized => "its first bytes are those of no known format",
        _ => "a record makes no sense",
    }
}

impl Receiver for Capture {
    /// One frame, so that the caller can ask for its time before.
    fn receive<'a>(&'a mut self, batch: &mut Batch<'a>) {
        match self.peek() {
            Ok(Some(_)) => {
                if let Some(slot) = Slot::with_tag(&mut self.buffer, HEADROOM_BYTES) {
                    batch.push(slot);
                }
            }
            Ok(None) => {}
            Err(error) => self.error = Some(io::Error::other(format!("{error:#}"))),
        }
    }

    fn release(&mut self) {
        self.next = None;
    }

    fn fd(&self) -> Option<RawFd> {
        None
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    fn losses(&mut self) -> Losses {
        Losses::default()
    }
}

/// A capture file that is written.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: BufWriter<File>,
    at_ns: u64,
    error: Option<io::Error>,
    scratch: Vec<u8>,
}

impl Recorder {
    /// Makes a file, or empties the one that is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("write `{}`", path.display()))?;
        let (path, file) = (path.to_owned(), BufWriter::new(file));
        let mut recorder = Self { path, file, at_ns: 0, error: None, scratch: Vec::new() };
        // Nanoseconds, version 2.4, no time zone, no accuracy, frames of any length, Ethernet.
        let words: [u32; 6] = [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, 262_144, 1];
        recorder.put(&words);
        Ok(recorder)
    }

    /// Frames sent from now on are sent at this time, in nanoseconds since 1970.
    pub fn set_time(&mut self, at_ns: u64) {
        self.at_ns = at_ns;
    }

    /// Writes everything out.
    ///
    /// # Errors
    /// When something could not be written, now or before.
    pub fn finish(mut self) -> Result<()> {
        let before = mem::take(&mut self.error);
        let outcome = before.map_or_else(|| self.file.flush(), Err);
        outcome.with_context(|| format!("write `{}`", self.path.display()))
    }

    fn put(&mut self, words: &[u32]) {
        words.iter().for_each(|word| self.write(&word.to_le_bytes()));
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.error = self.file.write_all(bytes).err();
        }
    }
}

impl Recorder {
    fn frame(&mut self, frame: &[u8]) {
        let (seconds, rest) = (self.at_ns / NANOSECONDS, self.at_ns % NANOSECONDS);
        let length = frame.len() as u32;
        self.put(&[seconds as u32, rest as u32, length, length]);
        self.write(frame);
    }
}

impl Sender for Recorder {
    fn send(&mut self, frames: &mut dyn Iterator<Item = &mut [u8]>) -> usize {
        let mut refused = 0;
        for bytes in frames {
            let Some((header, frame)) = bytes.split_at_checked(HEADER_BYTES) else { continue };
            let Some(meta) = decode(header) else {
                refused += 1;
                continue;
            };
            let mut scratch = mem::take(&mut self.scratch);
            on_wire(frame, meta, &mut scratch, |wire| self.frame(wire));
            self.scratch = scratch;
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(Record, Vec<u8>)>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut capture = Capture::open(file.path())?;
        let mut frames = Vec::new();
        while let Some(record) = capture.peek()? {
            let mut batch = Batch::new();
            capture.receive(&mut batch);
            let mut slot = batch.into_slots().next().unwrap();
            frames.push((record, slot.frame().unwrap().view().to_vec()));
            capture.release();
        }
        Ok(frames)
    }

    fn pcap(magic: u32, link: u32, fraction: u32, word: fn(u32) -> [u8; 4], half: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mut bytes = word(magic).to_vec();
        bytes.extend([half(2), half(4)].concat());
        bytes.extend([0, 0, 65_535, link].map(word).concat());
        bytes.extend([7, fraction, 3, 5].map(word).concat());
        bytes.extend([0xaa, 0xbb, 0xcc]);
        bytes
    }

    #[test]
    fn both_clocks_and_both_byte_orders_are_read_and_what_was_cut_off_is_filled_up() {
        for (magic, fraction) in [(0xa1b2_c3d4, 250_000), (0xa1b2_3c4d, 250_000_000)] {
            let little = pcap(magic, 1, fraction, u32::to_le_bytes, u16::to_le_bytes);
            let big = pcap(magic, 1, fraction, u32::to_be_bytes, u16::to_be_bytes);
            for bytes in [little, big] {
                let record = Record { at_ns: 7_250_000_000, captured_bytes: 3, original_bytes: 5 };
                assert_eq!(read(&bytes).unwrap(), [(record, vec![0xaa, 0xbb, 0xcc, 0, 0])], "{magic:#x}");
            }
        }
    }

    #[test]
    fn pcapng_is_read_with_its_own_clock() {
        let word = u32::to_le_bytes;
        let block = |kind: u32, body: &[u8]| {
            let length = 12 + body.len() as u32;
            [&word(kind), &word(length), body, &word(length)].concat()
        };
        let section = [&word(0x1a2b_3c4d)[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
        // Resolution 10^-9 as option 9.
        let interface = [&[1, 0, 0, 0][..], &word(0), &[9, 0, 1, 0, 9, 0, 0, 0], &word(0)].concat();
        let at = 7_250_000_001_u64;
        let packet =
            [&word(0)[..], &word((at >> 32) as u32), &word(at as u32), &word(3), &word(3), &[1, 2, 3, 0]].concat();
        let bytes = [block(0x0a0d_0d0a, &section), block(1, &interface), block(6, &packet)].concat();
        let record = Record { at_ns: at, captured_bytes: 3, original_bytes: 3 };
        assert_eq!(read(&bytes).unwrap(), [(record, vec![1, 2, 3])]);
    }

    #[test]
    fn a_block_that_is_shorter_than_its_own_frame_is_refused() {
        let section =
            [&PCAPNG_MAGIC[..], &[0, 0, 0, 28], &[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0], &[0xff; 8], &[0, 0, 0, 28]];
        for length in 0..12 {
            // Apple's process information.
            let block = [0x80, 0, 0, 1, 0, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, 0];
            let said = read(&[section.concat(), block.to_vec()].concat()).unwrap_err().to_string();
            assert!(said.contains("broken after 28 bytes"), "{length}: {said}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut recorder = Recorder::create(file.path()).unwrap();
        recorder.set_time(7_250_000_001);
        let mut frame = [[0; HEADER_BYTES].as_slice(), &[1, 2, 3]].concat();
        assert_eq!(recorder.send(&mut std::iter::once(frame.as_mut_slice())), 0);
        recorder.finish().unwrap();
        let record = Record { at_ns: 7_250_000_001, captured_bytes: 3, original_bytes: 3 };
        assert_eq!(read(&std::fs::read(file.path()).unwrap()).unwrap(), [(record, vec![1, 2, 3])]);
    }

    #[test]
    fn what_is_no_capture_is_refused_in_words() {
        let said = |bytes: &[u8]| format!("{:#}", read(bytes).unwrap_err());
        for bytes in [&b"<config/> is longer than a file header"[..], b"short", b""] {
            assert!(said(bytes).contains("is no capture file (pcap or pcapng)"), "{}", said(bytes));
        }
        let wifi = pcap(0xa1b2_c3d4, 105, 0, u32::to_le_bytes, u16::to_le_bytes);
        assert!(said(&wifi).contains("link type 105"), "{}", said(&wifi));
        let whole = pcap(0xa1b2_c3d4, 1, 0, u32::to_le_bytes, u16::to_le_bytes);
        for length in 25..whole.len() {
            assert!(
                said(&whole[..length]).contains("in the middle of a record"),
                "{length}: {}",
                said(&whole[..length])
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_bring_a_capture_to_panic(tail in proptest::collection::vec(0_u8.., 0..200), ng: bool) {
            let mut bytes = if ng { PCAPNG_MAGIC.to_vec() } else { pcap(0xa1b2_c3d4, 1, 0, u32::to_le_bytes, u16::to_le_bytes) };
            bytes.extend(tail);
            let _ = read(&bytes);
        }
    }
}
