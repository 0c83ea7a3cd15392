//! GENEVE (RFC 8926): what is in this tunnel packet, and what do its options say?
//!
//! Options are read as they come, in any order; the block is at most 252 bytes, so that a walk has at most
//! 63 steps. The options of the two cloud load balancers are read here too.

use crate::bytes::{u8_at, u16_at, u32_at};
use crate::ethernet;
use crate::tunnel::BadTunnel;
use crate::vxlan::Vni;

/// Length of the header without options.
pub const HEADER_BYTES: usize = 8;
/// Longest block of options: six bits count words of four bytes.
pub const OPTIONS_BYTES_MAX: usize = 63 * 4;
/// Protocol type of an Ethernet frame ("Trans-Ether Bridging").
pub const ETHERNET: u16 = 0x6558;

/// Option class of AWS's Gateway Load Balancer.
pub const AWS: u16 = 0x0108;
/// Option class of Google Cloud's in-band intercept.
pub const GOOGLE: u16 = 0x0132;

const CONTROL: u8 = 0x80;
const CRITICAL_OPTION: u8 = 0x80;
const OPTION_HEADER_BYTES: usize = 4;

/// A header, borrowed from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geneve<'a> {
    /// Virtual network.
    pub vni: Vni,
    /// Ethernet type of what follows.
    pub protocol: u16,
    /// Its options as they stand in the packet; each is whole.
    pub options: &'a [u8],
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneveOption<'a> {
    /// Who defined it.
    pub class: u16,
    /// Its type, without the bit that makes it critical.
    pub kind: u8,
    /// Whoever does not know it must drop the packet.
    pub critical: bool,
    /// Its value.
    pub data: &'a [u8],
}

impl<'a> Geneve<'a> {
    /// Reads the header at the start of a UDP payload.
    ///
    /// # Errors
    /// When it or an option is cut short, is of another version, is for the tunnel's ends themselves, or
    /// carries what cannot be forwarded.
    #[inline]
    pub fn read(payload: &'a [u8]) -> Result<Self, BadTunnel> {
        let geneve = Self::head(payload)?;
        let whole: usize = geneve.options().map(GeneveOption::bytes).sum();
        if whole != geneve.options.len() {
            return Err(BadTunnel::Option);
        }
        Ok(geneve)
    }

    /// [`Self::read`] and [`Self::facts`] in one.
    ///
    /// # Errors
    /// As theirs.
    #[inline]
    pub fn read_facts(payload: &'a [u8]) -> Result<(Self, Facts<'a>), BadTunnel> {
        let geneve = Self::head(payload)?;
        if let Some(facts) = Facts::of_aws(geneve.options) {
            return Ok((geneve, facts));
        }
        let (mut facts, mut whole) = (Facts::default(), 0);
        for option in geneve.options() {
            whole += option.bytes();
            facts.hear(option)?;
        }
        if whole != geneve.options.len() {
            return Err(BadTunnel::Option);
        }
        Ok((geneve, facts))
    }

    /// The header; its options are not looked at.
    #[inline]
    fn head(payload: &'a [u8]) -> Result<Self, BadTunnel> {
        let Some(head) = payload.first_chunk::<HEADER_BYTES>() else { return Err(BadTunnel::Truncated) };
        if head[0] >> 6 != 0 {
            return Err(BadTunnel::Version);
        }
        if head[1] & CONTROL != 0 {
            return Err(BadTunnel::Control);
        }
        let options_bytes = usize::from(head[0] & 0x3f) * 4;
        let options = payload.get(HEADER_BYTES..HEADER_BYTES + options_bytes).ok_or(BadTunnel::Truncated)?;
        let protocol = u16_at(head, 2);
        if !matches!(protocol, ethernet::IPV4 | ethernet::IPV6 | ETHERNET) {
            return Err(BadTunnel::Protocol);
        }
        Ok(Self { vni: Vni::of_word(u32_at(head, 4)), protocol, options })
    }

    /// Length of header and options.
    pub fn header_bytes(&self) -> usize {
        HEADER_BYTES + self.options.len()
    }

    /// The options in the order of the packet; ends at one that is cut short.
    #[inline]
    pub fn options(&self) -> impl Iterator<Item = GeneveOption<'a>> {
        let mut rest = self.options;
        std::iter::from_fn(move || {
            let data_bytes = usize::from(*rest.get(3)? & 0x1f) * 4;
            let (option, after) = rest.split_at_checked(OPTION_HEADER_BYTES + data_bytes)?;
            rest = after;
            Some(GeneveOption {
                class: u16_at(option, 0),
                kind: u8_at(option, 2) & !CRITICAL_OPTION,
                critical: u8_at(option, 2) & CRITICAL_OPTION != 0,
                data: option.get(OPTION_HEADER_BYTES..).unwrap_or_default(),
            })
        })
    }

    /// What the two load balancers say; options of others are passed over.
    ///
    /// # Errors
    /// When an option that must be understood is not known, has another length than its definition or is
    /// there twice.
    #[inline]
    pub fn facts(&self) -> Result<Facts<'a>, BadTunnel> {
        let mut facts = Facts::default();
        for option in self.options() {
            facts.hear(option)?;
        }
        Ok(facts)
    }
}

impl GeneveOption<'_> {
    /// Length of the option with its header.
    #[inline]
    fn bytes(self) -> usize {
        OPTION_HEADER_BYTES + self.data.len()
    }
}

impl<'a> Facts<'a> {
    /// What AWS's load balancer always sends: endpoint, attachment and cookie, in this order and nothing else.
    #[inline]
    fn of_aws(options: &[u8]) -> Option<Self> {
        let options: &[u8; 32] = options.try_into().ok()?;
        let header = |at, kind: u32, words: u32| u32_at(options, at) == u32::from(AWS) << 16 | kind << 8 | words;
        if !(header(0, 1, 2) && header(12, 2, 2) && header(24, 3, 1)) {
            return None;
        }
        let long = |at| u64::from(u32_at(options, at)) << 32 | u64::from(u32_at(options, at + 4));
        Some(Self {
            aws_endpoint: Some(long(4)),
            aws_attachment: Some(long(16)),
            aws_cookie: Some(u32_at(options, 28)),
            ..Self::default()
        })
    }

    #[inline]
    fn hear(&mut self, option: GeneveOption<'a>) -> Result<(), BadTunnel> {
        match (option.class, option.kind) {
            (AWS, 1) => once(&mut self.aws_endpoint, long(option.data)),
            (AWS, 2) => once(&mut self.aws_attachment, long(option.data)),
            (AWS, 3) => once(&mut self.aws_cookie, word(option.data)),
            (GOOGLE, 1) => once(&mut self.google_network, word(option.data).map(GoogleNetwork)),
            (GOOGLE, 2) => once(&mut self.google_endpoint, Some(option.data)),
            (GOOGLE, 3) => once(&mut self.google_profile, long(option.data)),
            _ if option.critical => Err(BadTunnel::Option),
            _ => Ok(()),
        }
    }
}

/// What the options of the two load balancers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// AWS: the endpoint (the hexadecimal digits of `vpce-0…`) the packet entered by.
    pub aws_endpoint: Option<u64>,
    /// AWS: the attachment.
    pub aws_attachment: Option<u64>,
    /// AWS: the flow cookie.
    pub aws_cookie: Option<u32>,
    /// Google Cloud: the network of the intercepted instance.
    pub google_network: Option<GoogleNetwork>,
    /// Google Cloud: the intercept endpoint, opaque.
    pub google_endpoint: Option<&'a [u8]>,
    /// Google Cloud: the security profile.
    pub google_profile: Option<u64>,
}

/// Google Cloud's network option: 28 bits of identifier, three reserved, one of direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoogleNetwork(pub u32);

impl GoogleNetwork {
    /// The network's number.
    pub fn id(self) -> u32 {
        self.0 >> 4
    }

    /// The direction bit.
    pub fn direction(self) -> bool {
        self.0 & 1 == 1
    }
}

/// A header with these options (class, type, value); `None` when a value is not whole words of four bytes
/// or the block is too long.
pub fn header(protocol: u16, vni: Vni, options: &[(u16, u8, &[u8])]) -> Option<Vec<u8>> {
    let mut bytes = vec![0, 0];
    bytes.extend(protocol.to_be_bytes());
    bytes.extend(vni.word().to_be_bytes());
    for (class, kind, data) in options {
        if data.len() % 4 != 0 || data.len() / 4 > 0x1f {
            return None;
        }
        bytes.extend(class.to_be_bytes());
        bytes.extend([*kind, (data.len() / 4) as u8]);
        bytes.extend(*data);
        // RFC 8926 section 3.4: the header says that some option is critical.
        if kind & CRITICAL_OPTION != 0
            && let Some(flags) = bytes.get_mut(1)
        {
            *flags |= 0x40;
        }
    }
    let options_bytes = bytes.len() - HEADER_BYTES;
    if options_bytes > OPTIONS_BYTES_MAX {
        return None;
    }
    *bytes.first_mut()? = (options_bytes / 4) as u8;
    Some(bytes)
}

#[inline]
fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), BadTunnel> {
    match (place.is_some(), value) {
        (false, Some(value)) => {
            *place = Some(value);
            Ok(())
        }
        _ => Err(BadTunnel::Option),
    }
}

#[inline]
fn long(data: &[u8]) -> Option<u64> {
    <[u8; 8]>::try_from(data).ok().map(u64::from_be_bytes)
}

#[inline]
fn word(data: &[u8]) -> Option<u32> {
    <[u8; 4]>::try_from(data).ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: [u8; 8] = [0x0a, 1, 2, 3, 4, 5, 6, 7];

    fn aws(order: [usize; 3]) -> Vec<u8> {
        let options: [(u16, u8, &[u8]); 3] = [(AWS, 1, &ENDPOINT), (AWS, 2, &[9; 8]), (AWS, 3, &[1, 2, 3, 4])];
        header(ethernet::IPV4, Vni::default(), &order.map(|at| options[at])).unwrap()
    }

    #[test]
    fn the_options_of_aws_are_read_in_any_order() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let bytes = aws(order);
            let geneve = Geneve::read(&bytes).unwrap();
            assert_eq!(geneve.header_bytes(), 40, "8 of the header and 32 of options");
            let facts = geneve.facts().unwrap();
            assert_eq!(facts.aws_endpoint, Some(0x0a01_0203_0405_0607));
            assert_eq!(facts.aws_cookie, Some(0x0102_0304));
        }
    }

    #[test]
    fn google_says_its_network_and_direction() {
        let bytes = header(
            ethernet::IPV6,
            Vni::default(),
            &[(GOOGLE, 3, &[0; 8]), (GOOGLE, 2, &[5; 12]), (GOOGLE, 1, &0x0012_3451_u32.to_be_bytes())],
        )
        .unwrap();
        let facts = Geneve::read(&bytes).unwrap().facts().unwrap();
        let network = facts.google_network.unwrap();
        assert_eq!((network.id(), network.direction()), (0x0001_2345, true));
        assert_eq!(facts.google_endpoint, Some([5; 12].as_slice()));
    }

    #[test]
    fn an_unknown_critical_option_is_refused_and_an_unknown_other_is_not() {
        let with = |kind| header(ethernet::IPV4, Vni::default(), &[(0x1234, kind, &[0; 4])]).unwrap();
        assert_eq!(Geneve::read(&with(0x81)).unwrap().facts(), Err(BadTunnel::Option));
        assert_eq!(Geneve::read(&with(0x01)).unwrap().facts(), Ok(Facts::default()));
    }

    #[test]
    fn what_cannot_be_forwarded_is_refused() {
        let good = aws([0, 1, 2]);
        let read = |change: fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            Geneve::read(&bytes).map(|geneve| geneve.protocol)
        };
        assert_eq!(read(|_| ()), Ok(ethernet::IPV4));
        assert_eq!(read(|bytes| bytes[0] |= 0x40), Err(BadTunnel::Version));
        assert_eq!(read(|bytes| bytes[1] |= 0x80), Err(BadTunnel::Control));
        assert_eq!(read(|bytes| bytes[2] = 0x12), Err(BadTunnel::Protocol));
        assert_eq!(read(|bytes| bytes[11] = 0x1f), Err(BadTunnel::Option));
        assert_eq!(read(|bytes| bytes.truncate(39)), Err(BadTunnel::Truncated));
    }

    #[test]
    fn an_option_twice_or_of_another_length_is_refused() {
        for options in [[(AWS, 3, [0; 4].as_slice()), (AWS, 3, &[0; 4])], [(AWS, 1, &[0; 4]), (AWS, 3, &[0; 4])]] {
            let bytes = header(ethernet::IPV4, Vni::default(), &options).unwrap();
            assert_eq!(Geneve::read(&bytes).unwrap().facts(), Err(BadTunnel::Option));
        }
    }
}
