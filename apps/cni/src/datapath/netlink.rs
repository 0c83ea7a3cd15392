//! Which devices, addresses, routes and filters does a network namespace have? rtnetlink, synchronously.
//!
//! A socket belongs to the namespace of the thread that opened it.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteType};
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// All protocols, in network order, and the first place among the filters.
const FILTER_PLACE: u32 = 1 << 16 | (0x0003u16.to_be() as u32);
const FILTER_HANDLE: u32 = 1;

/// A conversation with the kernel about one network namespace.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Vec<u8>,
    /// Bytes.
    pub(crate) mtu: u32,
    /// For a VXLAN device in external mode: its port.
    pub(crate) tunnel_port: Option<u16>,
}

/// Where at a device a filter sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    In,
    Out,
}

/// What a tunnel device is made with.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: &'a [u8],
    /// Bytes.
    pub(crate) mtu: u32,
    pub(crate) port: u16,
}

impl Netlink {
    /// Talks about the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("open a netlink socket")?;
        socket.bind_auto().context("bind a netlink socket")?;
        socket.connect(&SocketAddr::new(0, 0)).context("connect a netlink socket")?;
        Ok(Self { socket, sequence: 0 })
    }

    pub(crate) fn devices(&mut self) -> Result<Vec<Device>> {
        let answers = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default())).context("list devices")?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(device(link)),
                _ => None,
            })
            .collect())
    }

    pub(crate) fn device(&mut self, name: &str) -> Result<Option<Device>> {
        Ok(self.devices()?.into_iter().find(|device| device.name == name))
    }

    /// IPv4 addresses of a device, or of all.
    pub(crate) fn addresses(&mut self, index: Option<u32>) -> Result<Vec<Ipv4Addr>> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let answers = self.dump(RouteNetlinkMessage::GetAddress(message)).context("list addresses")?;
        let mut addresses = Vec::new();
        for answer in answers {
            let RouteNetlinkMessage::NewAddress(address) = answer else { continue };
            if index.is_some_and(|index| index != address.header.index) {
                continue;
            }
            // IFA_LOCAL is this end's where the other end has an address of its own.
            let local = address.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(std::net::IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            addresses.extend(local);
        }
        Ok(addresses)
    }

    pub(crate) fn add_tunnel(&mut self, tunnel: &Tunnel<'_>) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName(tunnel.name.to_owned()),
            LinkAttribute::Address(tunnel.mac.to_vec()),
            LinkAttribute::Mtu(tunnel.mtu),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vxlan),
                LinkInfo::Data(InfoData::Vxlan(vec![
                    InfoVxlan::CollectMetadata(true),
                    InfoVxlan::Learning(false),
                    InfoVxlan::Port(tunnel.port),
                    // One source port for all flows: a load balancer keeps a pod at one firewall.
                    InfoVxlan::PortRange((tunnel.port, tunnel.port + 1)),
                ])),
            ]),
        ];
        self.ask(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .with_context(|| format!("make the VXLAN device `{}`", tunnel.name))
    }

    pub(crate) fn remove_device(&mut self, index: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.ask(RouteNetlinkMessage::DelLink(message), 0).context("remove a device")
    }

    /// Makes room for filters; true when it was not there before.
    pub(crate) fn add_clsact(&mut self, index: u32) -> Result<bool> {
        match self.ask(RouteNetlinkMessage::NewQueueDiscipline(clsact(index)), NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => Ok(true),
            Err(error) if is(&error, libc::EEXIST) => Ok(false),
            Err(error) => Err(error.context("add a clsact queueing discipline")),
        }
    }

    pub(crate) fn remove_clsact(&mut self, index: u32) -> Result<()> {
        match self.ask(RouteNetlinkMessage::DelQueueDiscipline(clsact(index)), 0) {
            Err(error) if !is(&error, libc::ENOENT) && !is(&error, libc::EINVAL) => {
                Err(error.context("remove a clsact queueing discipline"))
            }
            _ => Ok(()),
        }
    }

    /// Attaches a program, or puts it in place of the one that is there.
    pub(crate) fn set_filter(&mut self, index: u32, side: Side, program: &OwnedFd, name: &str) -> Result<()> {
        let mut message = filter(index, side);
        message.attributes.push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
        message.attributes.push(TcAttribute::Options(vec![
            TcOption::Bpf(TcFilterBpfOption::ProgFd(program.as_raw_fd() as u32)),
            TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned())),
            TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
        ]));
        self.ask(RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE)
            .with_context(|| format!("attach the program `{name}`"))
    }

    pub(crate) fn remove_filter(&mut self, index: u32, side: Side) -> Result<()> {
        let mut message = filter(index, side);
        message.attributes.push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
        match self.ask(RouteNetlinkMessage::DelTrafficFilter(message), 0) {
            Err(error) if !is(&error, libc::ENOENT) && !is(&error, libc::EINVAL) => {
                Err(error.context("detach a program"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a program of that name is attached.
    pub(crate) fn has_filter(&mut self, index: u32, side: Side, name: &str) -> Result<bool> {
        let mut message = filter(index, side);
        message.header.handle = TcHandle::UNSPEC;
        message.header.info = 0;
        let answers = self.dump(RouteNetlinkMessage::GetTrafficFilter(message)).context("list filters")?;
        Ok(answers.iter().any(|answer| match answer {
            RouteNetlinkMessage::NewTrafficFilter(found) => found.attributes.iter().any(|attribute| match attribute {
                TcAttribute::Options(options) => options
                    .iter()
                    .any(|option| matches!(option, TcOption::Bpf(TcFilterBpfOption::ProgName(found)) if found == name)),
                _ => false,
            }),
            _ => false,
        }))
    }

    /// Gives each IPv4 route of a device this metric `mtu`, or takes it away again.
    pub(crate) fn set_route_mtu(&mut self, index: u32, mtu: Option<u32>) -> Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        let answers = self.dump(RouteNetlinkMessage::GetRoute(message)).context("list routes")?;
        for answer in answers {
            let RouteNetlinkMessage::NewRoute(mut route) = answer else { continue };
            let own = route.attributes.iter().any(|a| matches!(a, RouteAttribute::Oif(oif) if *oif == index));
            if !own || route.header.kind != RouteType::Unicast {
                continue;
            }
            let mut metrics = Vec::new();
            route.attributes.retain(|attribute| match attribute {
                RouteAttribute::Metrics(found) => {
                    metrics.extend(found.iter().filter(|m| !matches!(m, RouteMetric::Mtu(_))).cloned());
                    false
                }
                RouteAttribute::CacheInfo(_) => false,
                _ => true,
            });
            metrics.extend(mtu.map(RouteMetric::Mtu));
            if !metrics.is_empty() {
                route.attributes.push(RouteAttribute::Metrics(metrics));
            }
            self.ask(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE)
                .context("change a route's MTU")?;
        }
        Ok(())
    }

    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<()> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags).map(drop)
    }

    fn dump(&mut self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_DUMP)
    }

    fn exchange(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0).context("ask the kernel")?;
        let mut answers = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full().context("hear the kernel")?;
            let mut rest = bytes.as_slice();
            while rest.len() >= 16 {
                let answer =
                    NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).context("read the kernel's answer")?;
                let length = (answer.header.length as usize).next_multiple_of(4).max(16);
                rest = rest.get(length..).unwrap_or_default();
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answers),
                    NetlinkPayload::Error(error) => return Err(error.to_io().into()),
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    NetlinkPayload::Overrun(_) => bail!("the kernel's answer overran"),
                    _ => {}
                }
            }
        }
    }
}

/// Whether the kernel's refusal was that one.
fn is(error: &anyhow::Error, number: i32) -> bool {
    error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) == Some(number)
}

fn device(link: LinkMessage) -> Device {
    let mut device =
        Device { index: link.header.index, name: String::new(), mac: Vec::new(), mtu: 0, tunnel_port: None };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name = name,
            LinkAttribute::Address(mac) => device.mac = mac,
            LinkAttribute::Mtu(mtu) => device.mtu = mtu,
            LinkAttribute::LinkInfo(infos) => device.tunnel_port = infos.iter().find_map(external_port),
            _ => {}
        }
    }
    device
}

fn external_port(info: &LinkInfo) -> Option<u16> {
    let LinkInfo::Data(InfoData::Vxlan(fields)) = info else { return None };
    fields.iter().any(|field| matches!(field, InfoVxlan::CollectMetadata(true))).then_some(())?;
    fields.iter().find_map(|field| match field {
        InfoVxlan::Port(port) => Some(*port),
        _ => None,
    })
}

fn clsact(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index as i32);
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = TcHandle { major: u16::MAX, minor: 0 };
    message.attributes.push(TcAttribute::Kind("clsact".to_owned()));
    message
}

fn filter(index: u32, side: Side) -> TcMessage {
    let minor = match side {
        Side::In => TcHandle::MIN_INGRESS,
        Side::Out => TcHandle::MIN_EGRESS,
    };
    let mut message = TcMessage::with_index(index as i32);
    message.header.parent = TcHandle { major: u16::MAX, minor };
    message.header.handle = TcHandle::from(FILTER_HANDLE);
    message.header.info = FILTER_PLACE;
    message
}
