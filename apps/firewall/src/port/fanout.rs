//! Which worker's socket does the kernel give a frame to? `engine::steer::worker_for` as classic BPF.
//!
//! Everything that is not IP goes to worker 0; fragments go by their addresses alone. Where the program cannot see the ports
//! (IPv6 extension headers, headers outside of the linear part) it may name another worker than
//! `worker_for`; the engine there hands the frame over.

/// One instruction, `struct sock_filter` of linux/filter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jump_true: u8,
    /// Instructions to skip when it does not.
    pub jump_false: u8,
    /// Operand.
    pub value: u32,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Vec<Instruction>);

// Operations, from linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_INDEXED: u16 = 0x48;
const LOAD_MEMORY: u16 = 0x60;
const LOAD_X_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const SHIFT_RIGHT: u16 = 0x74;
const MODULO: u16 = 0x94;
const XOR_X: u16 = 0xac;
const A_TO_X: u16 = 0x07;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN_VALUE: u16 = 0x06;
const RETURN_A: u16 = 0x16;

/// Base of offsets from the network header.
const NETWORK: u32 = libc::SKF_NET_OFF as u32;
/// Where the Ethernet type is read.
const ETHERNET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32;

impl Program {
    /// Answers the position (0 to `workers` - 1) of the worker that a frame belongs to.
    pub fn steering(workers: u16) -> Self {
        let mut code = vec![load(LOAD_WORD, ETHERNET_TYPE)];
        let (four, six) = (ipv4(), ipv6());
        // IPv4: the next part; IPv6: the one after it; neither: worker 0.
        code.push(skip_unless(JUMP_EQUAL, 0x0800, 1 + four.len()));
        code.extend(four);
        code.push(plain(JUMP, (2 + six.len()) as u32));
        code.push(skip_if(JUMP_EQUAL, 0x86dd, 1));
        code.push(plain(RETURN_VALUE, 0));
        code.extend(six);
        code.extend(fold(workers));
        Self(code)
    }

    /// Always answers `value`.
    pub fn constant(value: u32) -> Self {
        Self(vec![plain(RETURN_VALUE, value)])
    }

    /// Its instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }
}

/// Leaves the XOR of addresses and ports in memory word 0.
fn ipv4() -> Vec<Instruction> {
    let mut code = xor_words(12, 2);
    let ports = [
        load(LOAD_BYTE, NETWORK),
        plain(AND, 0x0f),
        plain(SHIFT_LEFT, 2),
        plain(A_TO_X, 0),
        load(LOAD_HALF_INDEXED, NETWORK),
        plain(STORE, 1),
        load(LOAD_HALF_INDEXED, NETWORK + 2),
        plain(LOAD_X_MEMORY, 1),
        plain(XOR_X, 0),
        plain(LOAD_X_MEMORY, 0),
        plain(XOR_X, 0),
        plain(STORE, 0),
    ];
    let ports = only_with_ports(9, ports);
    // More fragments, or an offset: the ports are not in every fragment.
    code.extend([load(LOAD_HALF, NETWORK + 6), skip_if(JUMP_ANY_BIT, 0x3fff, ports.len())]);
    code.extend(ports);
    code
}

/// As [`ipv4`]; only an upper layer right after the fixed header is looked at.
fn ipv6() -> Vec<Instruction> {
    let mut code = xor_words(8, 8);
    let ports = [
        load(LOAD_HALF, NETWORK + 40),
        plain(STORE, 1),
        load(LOAD_HALF, NETWORK + 42),
        plain(LOAD_X_MEMORY, 1),
        plain(XOR_X, 0),
        plain(LOAD_X_MEMORY, 0),
        plain(XOR_X, 0),
        plain(STORE, 0),
    ];
    code.extend(only_with_ports(6, ports));
    code
}

/// XOR of `count` words from this offset of the network header on, into memory word 0.
fn xor_words(offset: u32, count: u32) -> Vec<Instruction> {
    let mut code = vec![load(LOAD_WORD, NETWORK + offset), plain(A_TO_X, 0)];
    for word in 1..count {
        code.extend([load(LOAD_WORD, NETWORK + offset + 4 * word), plain(XOR_X, 0), plain(A_TO_X, 0)]);
    }
    // X and A are equal here: XOR left its result in A before it went to X.
    code.push(plain(STORE, 0));
    code
}

/// Runs `then` for TCP and UDP only; the protocol is at this offset of the network header.
fn only_with_ports<const N: usize>(protocol_at: u32, then: [Instruction; N]) -> Vec<Instruction> {
    let mut code = vec![load(LOAD_BYTE, NETWORK + protocol_at)];
    code.push(skip_if(JUMP_EQUAL, 6, 1));
    code.push(skip_unless(JUMP_EQUAL, 17, N));
    code.extend(then);
    code
}

/// The folds, the modulo and the answer.
fn fold(workers: u16) -> Vec<Instruction> {
    let mut code = vec![plain(LOAD_MEMORY, 0)];
    for shift in [16, 8, 4] {
        code.extend([plain(A_TO_X, 0), plain(SHIFT_RIGHT, shift), plain(XOR_X, 0)]);
    }
    code.extend([plain(MODULO, u32::from(workers.max(1))), plain(RETURN_A, 0)]);
    code
}

fn plain(code: u16, value: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, value }
}

fn load(code: u16, value: u32) -> Instruction {
    plain(code, value)
}

fn skip_if(code: u16, value: u32, count: usize) -> Instruction {
    Instruction { code, jump_true: distance(count), jump_false: 0, value }
}

fn skip_unless(code: u16, value: u32, count: usize) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: distance(count), value }
}

fn distance(count: usize) -> u8 {
    debug_assert!(count <= usize::from(u8::MAX), "the program outgrew the reach of its jumps");
    count as u8
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use bartizan_engine::steer::{fragment_worker_for, worker_for};
    use proptest::prelude::*;

    use super::*;

    /// What the kernel does, for the operations used above. `None` where it would end the program
    /// with answer 0 because a load is out of bounds.
    fn interpret(program: &Program, ethernet_type: u16, packet: &[u8]) -> Option<u32> {
        let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [0_u32; 16], 0);
        let bytes = |offset: u32, size: usize| {
            let start = offset.wrapping_sub(NETWORK) as usize;
            packet
                .get(start..start.checked_add(size)?)
                .map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
        };
        loop {
            let one = program.0[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { one.jump_true } else { one.jump_false });
            match one.code {
                LOAD_WORD if one.value == ETHERNET_TYPE => a = u32::from(ethernet_type),
                LOAD_WORD => a = bytes(one.value, 4)?,
                LOAD_HALF => a = bytes(one.value, 2)?,
                LOAD_BYTE => a = bytes(one.value, 1)?,
                LOAD_HALF_INDEXED => a = bytes(one.value.wrapping_add(x), 2)?,
                LOAD_MEMORY => a = memory[one.value as usize],
                LOAD_X_MEMORY => x = memory[one.value as usize],
                STORE => memory[one.value as usize] = a,
                AND => a &= one.value,
                SHIFT_LEFT => a <<= one.value,
                SHIFT_RIGHT => a >>= one.value,
                MODULO => a %= one.value,
                XOR_X => a ^= x,
                A_TO_X => x = a,
                JUMP => at += one.value as usize,
                JUMP_EQUAL => at += jump(a == one.value),
                JUMP_ANY_BIT => at += jump(a & one.value != 0),
                RETURN_VALUE => return Some(one.value),
                RETURN_A => return Some(a),
                other => panic!("operation {other:#x} is not one the kernel was asked to run"),
            }
        }
    }

    fn packet(source: IpAddr, destination: IpAddr, protocol: u8, ports: (u16, u16), options: usize) -> (u16, Vec<u8>) {
        let mut bytes = Vec::new();
        let kind = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes.extend([0x45 + options as u8, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                bytes.extend(vec![1; options * 4]);
                0x0800
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                bytes.extend([0x60, 0, 0, 0, 0, 8, protocol, 64]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                0x86dd
            }
            _ => unreachable!("both ends have one family"),
        };
        bytes.extend(ports.0.to_be_bytes());
        bytes.extend(ports.1.to_be_bytes());
        (kind, bytes)
    }

    proptest! {
        #[test]
        fn the_program_is_worker_for(
            four in any::<(u32, u32)>(), six in any::<(u128, u128)>(), is_six: bool,
            protocol in prop_oneof![Just(6_u8), Just(17), Just(1), Just(58), any::<u8>()],
            ports in any::<(u16, u16)>(), options in 0_usize..=10, workers in 1_u16..=64,
        ) {
            let (source, destination) = if is_six {
                (IpAddr::V6(six.0.into()), IpAddr::V6(six.1.into()))
            } else {
                (IpAddr::V4(four.0.into()), IpAddr::V4(four.1.into()))
            };
            let (kind, bytes) = packet(source, destination, protocol, ports, options);
            let expected = worker_for(source, destination, protocol, ports.0, ports.1, workers);
            prop_assert_eq!(interpret(&Program::steering(workers), kind, &bytes), Some(u32::from(expected)));
        }
    }

    #[test]
    fn fragments_go_by_address_and_other_protocols_to_worker_0() {
        let (source, destination) = ("10.0.0.5".parse().unwrap(), "192.0.2.9".parse().unwrap());
        let (_, mut bytes) = packet(source, destination, 17, (40000, 53), 0);
        let home = Some(u32::from(fragment_worker_for(source, destination, 64)));
        assert_ne!(interpret(&Program::steering(64), 0x0800, &bytes), home);
        for flags_and_offset in [[0x20, 0], [0x00, 0x10], [0x20, 0x10]] {
            bytes[6..8].copy_from_slice(&flags_and_offset);
            assert_eq!(interpret(&Program::steering(64), 0x0800, &bytes), home);
        }
        assert_eq!(interpret(&Program::steering(64), 0x0806, &bytes), Some(0));
    }

    #[test]
    fn a_cut_off_header_ends_the_program() {
        assert_eq!(interpret(&Program::steering(4), 0x0800, &[0; 10]), None);
    }
}
