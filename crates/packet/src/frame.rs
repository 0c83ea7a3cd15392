//! A frame in a buffer, with what the NIC or kernel left for us to know about it.

/// State of the layer-4 checksum, as `virtio_net_hdr` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// The field in the packet is whole (it may still be wrong).
    #[default]
    Complete,
    /// The field holds only the pseudo-header sum; the sender's NIC was to finish it. Offsets are from
    /// the start of the frame, in bytes.
    Partial {
        /// First byte covered.
        start: u16,
        /// Position of the field, from `start`.
        offset: u16,
    },
}

/// Kind of a segmentation-offload frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Segmentation {
    /// An ordinary frame.
    #[default]
    None,
    /// TCP over IPv4, to be cut into segments of `Meta::segment_bytes` payload each.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP (USO).
    Udp,
}

/// Headroom that is enough for every tunnel: GENEVE over IPv6 with all options it may have, VXLAN inside of
/// that, and both Ethernet headers, less the one that is there.
pub const HEADROOM_BYTES: usize = 384;

/// What travels beside the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Layer-4 checksum state.
    pub checksum: Checksum,
    /// Segmentation-offload kind.
    pub segmentation: Segmentation,
    /// Payload bytes of each segment; 0 unless `segmentation` says otherwise.
    pub segment_bytes: u16,
    /// Length of all headers up to the payload, for segmentation, as the kernel gave it.
    pub header_bytes: u16,
    /// VLAN of the frame by its 802.1Q tag, which is not among the bytes; 0 for an untagged one.
    pub vlan: u16,
    /// Bytes of the buffer in front of the frame, free for headers to be put there. Whoever handles a frame
    /// may move its start.
    pub headroom: u16,
    /// The longest IP packet among the fragments that a datagram came in or is to leave in; 0 for what is
    /// whole.
    pub fragment_bytes: u16,
    /// The same of the packet in the tunnel packet that the frame is.
    pub inner_fragment_bytes: u16,
}

/// One Ethernet frame, borrowed from the backend's ring, rewritten in place.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The buffer: [`Meta::headroom`] bytes, then the frame from its destination MAC on.
    pub bytes: &'a mut [u8],
    /// What the kernel knows about it.
    pub meta: Meta,
}

impl<'a> Frame<'a> {
    /// A plain frame.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, meta: Meta::default() }
    }

    /// The frame without the room in front of it.
    pub fn view(&self) -> &[u8] {
        self.bytes.get(usize::from(self.meta.headroom)..).unwrap_or_default()
    }
}
