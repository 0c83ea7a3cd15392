//! How is a captured packet written down? As pcapng, which Wireshark reads: each packet with its interface, direction
//! and a comment that says what became of it.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};
use pcap_parser::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, Linktype, OptionCode, PcapNGOption, SectionHeaderBlock, ToVec,
};

/// `epb_flags`, an option of packets (draft-ietf-opsawg-pcapng, 4.3): the lowest two bits are the direction.
const FLAGS: OptionCode = OptionCode(2);
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
/// `if_tsresol` of times in microseconds.
const MICROSECONDS: u8 = 6;

/// A packet, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// Position of its interface among those of the file.
    pub(super) interface: u32,
    /// Microseconds since 1970.
    pub(super) at_us: u64,
    /// It left; otherwise it came.
    pub(super) outbound: bool,
    /// Its first bytes.
    pub(super) bytes: &'a [u8],
    /// How long it was.
    pub(super) length: u32,
    /// What became of it.
    pub(super) comment: &'a str,
}

/// A capture file.
#[derive(Debug)]
pub(super) struct CaptureFile {
    file: BufWriter<File>,
    /// Bytes so far.
    pub(super) bytes: u64,
    /// Packets so far.
    pub(super) packets: u64,
}

impl CaptureFile {
    /// Makes a file that only its owner reads, or empties the one that is there.
    pub(super) fn create(path: &Path, interfaces: &[String]) -> Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("write `{}`", path.display()))?;
        let mut made = Self { file: BufWriter::new(file), bytes: 0, packets: 0 };
        let application = format!("Bartizan {}", env!("CARGO_PKG_VERSION"));
        made.block(&mut SectionHeaderBlock {
            block_type: 0,
            block_len1: 0,
            bom: 0,
            major_version: 1,
            minor_version: 0,
            section_len: -1,
            options: vec![text(OptionCode::ShbUserAppl, &application)],
            block_len2: 0,
        })?;
        for name in interfaces {
            made.block(&mut InterfaceDescriptionBlock {
                block_type: 0,
                block_len1: 0,
                linktype: Linktype::ETHERNET,
                reserved: 0,
                snaplen: 0,
                options: vec![text(OptionCode::IfName, name)],
                block_len2: 0,
                if_tsresol: MICROSECONDS,
                if_tsoffset: 0,
            })?;
        }
        made.flush()?;
        Ok(made)
    }

    /// Writes a packet, unless the file would be longer than `bytes_max` with it; whether it did.
    pub(super) fn packet(&mut self, entry: &Entry<'_>, bytes_max: u64) -> Result<bool> {
        let direction = if entry.outbound { OUTBOUND } else { INBOUND };
        let flags = PcapNGOption { code: FLAGS, len: 4, value: Cow::Owned(direction.to_le_bytes().to_vec()) };
        let mut block = EnhancedPacketBlock {
            block_type: 0,
            block_len1: 0,
            if_id: entry.interface,
            ts_high: (entry.at_us >> 32) as u32,
            ts_low: entry.at_us as u32,
            caplen: entry.bytes.len() as u32,
            origlen: entry.length,
            data: entry.bytes,
            options: vec![text(OptionCode::Comment, entry.comment), flags],
            block_len2: 0,
        };
        block.fix();
        if self.bytes + u64::from(block.block_len1) > bytes_max {
            return Ok(false);
        }
        self.block(&mut block)?;
        self.packets += 1;
        Ok(true)
    }

    /// What was written can be read from now on.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.flush().context("write a capture file")
    }

    fn block(&mut self, block: &mut impl ToVec) -> Result<()> {
        let bytes = block.to_vec().map_err(|error| anyhow::anyhow!("a block of a capture file: {error:?}"))?;
        self.bytes += bytes.len() as u64;
        self.file.write_all(&bytes).context("write a capture file")
    }
}

/// An option with a text of at most 65,535 bytes.
fn text(code: OptionCode, value: &str) -> PcapNGOption<'_> {
    let value = value.get(..value.floor_char_boundary(usize::from(u16::MAX))).unwrap_or_default();
    PcapNGOption { code, len: value.len() as u16, value: Cow::Borrowed(value.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use pcap_parser::traits::PcapReaderIterator as _;
    use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader};

    use super::*;

    #[test]
    fn a_packet_is_read_back_with_its_interface_direction_and_comment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcapng");
        let names = ["ethernet1/1".to_owned(), "ethernet1/2".to_owned()];
        let mut file = CaptureFile::create(&path, &names).unwrap();
        let head = file.bytes;
        let entry = Entry {
            interface: 1,
            at_us: 1_764_275_000_123_456,
            outbound: true,
            bytes: &[1, 2, 3, 4, 5],
            length: 60,
            comment: "transmit; session 7",
        };
        assert!(file.packet(&entry, u64::MAX).unwrap());
        let whole = file.bytes;
        assert!(!file.packet(&entry, whole + 10).unwrap(), "a packet that does not fit is not begun");
        assert_eq!((file.packets, file.bytes), (1, whole));
        file.flush().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes.len() as u64, head < whole), (whole, true));
        assert_eq!(bytes.get(..4), Some(&[0x0a, 0x0d, 0x0d, 0x0a][..]));

        let mut reader = PcapNGReader::new(65_536, &bytes[..]).unwrap();
        let (mut interfaces, mut packets) = (Vec::new(), Vec::new());
        loop {
            match reader.next() {
                Ok((consumed, PcapBlockOwned::NG(block))) => {
                    match block {
                        Block::InterfaceDescription(one) => {
                            assert_eq!(one.if_tsresol, 6);
                            interfaces.push(one.if_name().unwrap().unwrap().to_owned());
                        }
                        Block::EnhancedPacket(one) => {
                            let options = one.options.iter().map(|one| (one.code.0, one.as_bytes().unwrap().to_vec()));
                            let at_us = u64::from(one.ts_high) << 32 | u64::from(one.ts_low);
                            let data = one.data[..one.caplen as usize].to_vec();
                            packets.push((one.if_id, at_us, data, one.origlen, options.collect::<Vec<_>>()));
                        }
                        _ => {}
                    }
                    reader.consume(consumed);
                }
                Err(PcapError::Eof) => break,
                Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
                _ => panic!("no pcapng"),
            }
        }
        assert_eq!(interfaces, names);
        let options = vec![(1, b"transmit; session 7".to_vec()), (2, vec![2, 0, 0, 0]), (0, vec![])];
        assert_eq!(packets, [(1, 1_764_275_000_123_456, vec![1, 2, 3, 4, 5], 60, options)]);
    }
}
