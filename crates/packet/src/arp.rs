//! ARP for IPv4 over Ethernet (RFC 826): who has this address?

use std::net::Ipv4Addr;

use crate::bytes::{ipv4_at, mac_at, u8_at, u16_at};
use crate::ethernet::{self, Mac};

/// What an ARP message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Asks.
    Request,
    /// Answers.
    Reply,
}

/// An ARP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Question or answer.
    pub operation: Operation,
    /// MAC of whoever speaks.
    pub sender_mac: Mac,
    /// Address of whoever speaks; unspecified in a probe (RFC 5227).
    pub sender: Ipv4Addr,
    /// MAC of whoever is spoken to; zero in a question.
    pub target_mac: Mac,
    /// Address asked for, or spoken to.
    pub target: Ipv4Addr,
}

/// Length of the message after the Ethernet header.
const MESSAGE_BYTES: usize = 28;

impl Arp {
    /// Reads a frame whose Ethernet type is ARP. `None` when it is not a whole IPv4-over-Ethernet message.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let message = frame.get(ethernet::HEADER_BYTES..)?;
        let well_formed = message.len() >= MESSAGE_BYTES
            && u16_at(message, 0) == 1
            && u16_at(message, 2) == ethernet::IPV4
            && u8_at(message, 4) == 6
            && u8_at(message, 5) == 4;
        if !well_formed {
            return None;
        }
        let operation = match u16_at(message, 6) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return None,
        };
        Some(Self {
            operation,
            sender_mac: mac_at(message, 8),
            sender: ipv4_at(message, 14),
            target_mac: mac_at(message, 18),
            target: ipv4_at(message, 24),
        })
    }

    /// The question for `target`, asked by `sender`.
    pub fn request(sender_mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
        Self { operation: Operation::Request, sender_mac, sender, target_mac: [0; 6], target }
            .frame(ethernet::BROADCAST)
    }

    /// The answer to this question: `mac` has the address.
    pub fn reply(&self, mac: Mac) -> Vec<u8> {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
        .frame(self.sender_mac)
    }

    fn frame(&self, destination: Mac) -> Vec<u8> {
        let mut bytes = ethernet::frame(destination, self.sender_mac, ethernet::ARP, MESSAGE_BYTES);
        let operation = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        bytes.extend([0, 1, 8, 0, 6, 4, 0, operation]);
        bytes.extend(self.sender_mac);
        bytes.extend(self.sender.octets());
        bytes.extend(self.target_mac);
        bytes.extend(self.target.octets());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_answers_request() {
        let asker = [2, 0, 0, 0, 0, 1];
        let owner = [2, 0, 0, 0, 0, 2];
        let request = Arp::request(asker, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(ethernet::destination(&request), ethernet::BROADCAST);
        let question = Arp::read(&request).unwrap();
        let frame = question.reply(owner);
        assert_eq!(ethernet::destination(&frame), asker);
        let answer = Arp::read(&frame).unwrap();
        assert_eq!(answer.operation, Operation::Reply);
        assert_eq!((answer.sender_mac, answer.sender), (owner, Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!((answer.target_mac, answer.target), (asker, Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn truncated_or_foreign_messages_are_refused() {
        let request = Arp::request([2; 6], Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
        for length in 0..request.len() {
            assert_eq!(Arp::read(&request[..length]), None, "length {length}");
        }
        let mut token_ring = request.clone();
        token_ring[15] = 6;
        assert_eq!(Arp::read(&token_ring), None);
    }
}
