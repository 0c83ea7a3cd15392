//! Which prefixes are an `ipBlock` without its exceptions?

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::policy::IpBlock;
use crate::problem::Problems;

/// Addresses of an `ipBlock`: a prefix without some parts of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Block {
    cidr: IpNet,
    except: Vec<IpNet>,
}

/// Most prefixes that one block may come apart into. An exception of a single address costs up to 32 (IPv4) or 128.
const PREFIXES_MAX: usize = 4096;

impl Block {
    pub(crate) fn read(written: &IpBlock, field: &str, problems: &mut Problems) -> Option<Self> {
        let before = problems.found.len();
        let mut read = |text: &str, field: String| {
            let net: Option<IpNet> = text.parse().ok();
            if net.is_none() {
                problems.add(field, format!("`{text}` is no prefix: write it as `10.0.0.0/8` or `fd00::/8`"));
            }
            net.map(|net| net.trunc())
        };
        let cidr = read(&written.cidr, format!("{field}.cidr"));
        let mut except: Vec<IpNet> = Vec::new();
        for (index, text) in written.except.iter().flatten().enumerate() {
            except.extend(read(text, format!("{field}.except[{index}]")));
        }
        let cidr = cidr?;
        for (index, part) in except.iter().enumerate() {
            if !cidr.contains(part) || part.prefix_len() <= cidr.prefix_len() {
                let what = format!("`{part}` is no true part of `{cidr}`: except takes parts of the block alone");
                problems.add(format!("{field}.except[{index}]"), what);
            }
        }
        except.sort_unstable();
        let block = Self { cidr, except: IpNet::aggregate(&except) };
        if block.prefixes().len() > PREFIXES_MAX {
            problems.add(field, format!("comes apart into more than {PREFIXES_MAX} prefixes: use fewer exceptions"));
        }
        (problems.found.len() == before).then_some(block)
    }

    /// All addresses of a network.
    pub(crate) fn network(text: &str, field: &str, problems: &mut Problems) -> Option<Self> {
        let cidr: Option<IpNet> = text.parse().ok();
        if cidr.is_none() {
            problems.add(field, format!("`{text}` is no prefix: write it as `10.0.0.0/8` or `fd00::/8`"));
        }
        cidr.map(|cidr| Self { cidr: cidr.trunc(), except: Vec::new() })
    }

    /// A prefix without some parts of it.
    pub(crate) fn without(cidr: IpNet, parts: &[IpNet]) -> Self {
        Self { cidr, except: parts.iter().filter(|part| cidr.contains(*part)).copied().collect() }
    }

    /// The addresses of both; `None` when there are none.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let (outer, inner) = if self.cidr.contains(&other.cidr) { (self, other) } else { (other, self) };
        if !outer.cidr.contains(&inner.cidr) {
            return None;
        }
        let within = |part: &&IpNet| inner.cidr.contains(*part) || part.contains(&inner.cidr);
        let except: Vec<IpNet> = outer.except.iter().filter(within).chain(&inner.except).copied().collect();
        let both = Self { cidr: inner.cidr, except: IpNet::aggregate(&except) };
        (!both.prefixes().is_empty()).then_some(both)
    }

    /// Whether the address is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|part| part.contains(&address))
    }

    /// The prefixes that it is, in order; no others and none twice.
    pub fn prefixes(&self) -> Vec<IpNet> {
        let mut found = Vec::new();
        self.split(self.cidr, &mut found);
        found
    }

    fn split(&self, part: IpNet, found: &mut Vec<IpNet>) {
        if found.len() > PREFIXES_MAX || self.except.iter().any(|except| except.contains(&part)) {
            return;
        }
        if !self.except.iter().any(|except| part.contains(except)) {
            found.push(part);
            return;
        }
        for half in halves(part) {
            self.split(half, found);
        }
    }
}

/// The two halves of a prefix; none of a single address.
fn halves(part: IpNet) -> Vec<IpNet> {
    let length = part.prefix_len() + 1;
    match part {
        IpNet::V4(part) => Ipv4Net::subnets(&part, length).into_iter().flatten().map(IpNet::V4).collect(),
        IpNet::V6(part) => Ipv6Net::subnets(&part, length).into_iter().flatten().map(IpNet::V6).collect(),
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cidr)?;
        for (index, part) in self.except.iter().enumerate() {
            write!(f, "{}{part}", if index == 0 { " except " } else { "," })?;
        }
        Ok(())
    }
}
