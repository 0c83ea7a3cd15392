//! Which instruction words make a program out of loads, jumps to labels and calls?
//!
//! A small assembler for the kernel's BPF machine (Documentation/bpf/standardization/instruction-set.rst):
//! only the forms that the programs of this folder need. Jumps name labels; [`Assembler::finish`] puts the
//! distances in.

/// A register. `R0` holds results, `R1`–`R5` are arguments that a call spends, `R6`–`R9` survive calls and
/// `R10` is the end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Register {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R3 = 3,
    R4 = 4,
    R5 = 5,
    R6 = 6,
    R7 = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
}

/// Width of a load or store, as the machine codes it.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Width {
    Word = 0x00,
    Half = 0x08,
    Byte = 0x10,
    Double = 0x18,
}

/// What a jump asks about the lower 32 bits of a register.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum When {
    Equal = 0x10,
    AnyBit = 0x40,
    NotEqual = 0x50,
    LessThan = 0xa0,
    GreaterThan = 0x20,
}

/// Functions of the kernel, by their number in linux/bpf.h.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Helper {
    MapLookup = 1,
    MapUpdate = 2,
    StoreBytes = 9,
    GetTunnelKey = 20,
    SetTunnelKey = 21,
    Redirect = 23,
    LoadBytes = 26,
    ChangeType = 32,
    /// Since Linux 5.10.
    RedirectNeighbor = 152,
}

/// A place in a program, to be jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// A program that is being written.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    code: Vec<u64>,
    /// By label, the instruction that it stands before.
    places: Vec<Option<usize>>,
    /// Jump, and where it goes.
    jumps: Vec<(usize, Label)>,
}

const CLASS_LOAD: u8 = 0x61;
const CLASS_STORE_VALUE: u8 = 0x62;
const CLASS_STORE: u8 = 0x63;
const LOAD_MAP: u8 = 0x18;
const PSEUDO_MAP_FD: u8 = 1;
const MOVE: u8 = 0xbf;
const MOVE_VALUE: u8 = 0xb7;
/// 32-bit forms: values of packets and maps are words, and the upper half is cleared.
const MOVE_VALUE_32: u8 = 0xb4;
const ADD_VALUE: u8 = 0x07;
const AND_VALUE_32: u8 = 0x54;
const SHIFT_LEFT_VALUE_32: u8 = 0x64;
const TO_BIG_ENDIAN: u8 = 0xdc;
const JUMP: u8 = 0x05;
const JUMP_32_VALUE: u8 = 0x06;
const JUMP_IF_ZERO_64: u8 = 0x15;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

impl Assembler {
    /// A label that stands nowhere yet.
    pub(crate) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Puts a label before the next instruction.
    pub(crate) fn bind(&mut self, label: Label) {
        self.places[label.0] = Some(self.code.len());
    }

    /// `to = *(width *)(from + offset)`
    pub(crate) fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        self.push(CLASS_LOAD | width as u8, to as u8, from as u8, offset, 0);
    }

    /// `*(width *)(to + offset) = from`
    pub(crate) fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.push(CLASS_STORE | width as u8, to as u8, from as u8, offset, 0);
    }

    /// `*(width *)(to + offset) = value`
    pub(crate) fn store_value(&mut self, width: Width, to: Register, offset: i16, value: i32) {
        self.push(CLASS_STORE_VALUE | width as u8, to as u8, 0, offset, value);
    }

    /// `to = from`
    pub(crate) fn copy(&mut self, to: Register, from: Register) {
        self.push(MOVE, to as u8, from as u8, 0, 0);
    }

    /// `to = value`, sign-extended.
    pub(crate) fn set(&mut self, to: Register, value: i32) {
        self.push(MOVE_VALUE, to as u8, 0, 0, value);
    }

    /// `to = value`, the upper half zero.
    pub(crate) fn set_word(&mut self, to: Register, value: u32) {
        self.push(MOVE_VALUE_32, to as u8, 0, 0, value as i32);
    }

    /// `to += value`
    pub(crate) fn add(&mut self, to: Register, value: i32) {
        self.push(ADD_VALUE, to as u8, 0, 0, value);
    }

    /// `to &= value`, 32 bits.
    pub(crate) fn and(&mut self, to: Register, value: u32) {
        self.push(AND_VALUE_32, to as u8, 0, 0, value as i32);
    }

    /// `to <<= bits`, 32 bits.
    pub(crate) fn shift_left(&mut self, to: Register, bits: i32) {
        self.push(SHIFT_LEFT_VALUE_32, to as u8, 0, 0, bits);
    }

    /// The lower 16 bits from network order to the machine's.
    pub(crate) fn network_half(&mut self, to: Register) {
        self.push(TO_BIG_ENDIAN, to as u8, 0, 0, 16);
    }

    /// `to = the address at this offset from the end of the stack`
    pub(crate) fn stack(&mut self, to: Register, offset: i32) {
        self.copy(to, Register::R10);
        self.add(to, offset);
    }

    /// `to = the map behind this descriptor`
    pub(crate) fn map(&mut self, to: Register, descriptor: i32) {
        self.push(LOAD_MAP, to as u8, PSEUDO_MAP_FD, 0, descriptor);
        self.code.push(0);
    }

    /// Calls a function of the kernel.
    pub(crate) fn call(&mut self, helper: Helper) {
        self.push(CALL, 0, 0, 0, helper as i32);
    }

    /// Goes to a label.
    pub(crate) fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JUMP, 0, 0, 0, 0);
    }

    /// Goes to a label when the register's lower half compares so with the value.
    pub(crate) fn jump_if(&mut self, register: Register, when: When, value: u32, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JUMP_32_VALUE | when as u8, register as u8, 0, 0, value as i32);
    }

    /// Goes to a label when a pointer is null.
    pub(crate) fn jump_if_null(&mut self, register: Register, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JUMP_IF_ZERO_64, register as u8, 0, 0, 0);
    }

    /// Ends the program; the result is in `R0`.
    pub(crate) fn exit(&mut self) {
        self.push(EXIT, 0, 0, 0, 0);
    }

    /// The instruction words.
    ///
    /// # Panics
    /// When a label that is jumped to stands nowhere or too far away: a fault of the program's author, found by
    /// the first test that puts the program together.
    pub(crate) fn finish(mut self) -> Vec<u64> {
        for (jump, label) in &self.jumps {
            let place = self.places[label.0].unwrap_or_else(|| panic!("label {} stands nowhere", label.0));
            let distance = place as i64 - *jump as i64 - 1;
            let distance = i16::try_from(distance).unwrap_or_else(|_| panic!("label {} is too far away", label.0));
            self.code[*jump] |= u64::from(distance as u16) << 16;
        }
        self.code
    }

    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, value: i32) {
        self.code.push(
            u64::from(code)
                | u64::from(from << 4 | to) << 8
                | u64::from(offset as u16) << 16
                | u64::from(value as u32) << 32,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_go_forward_and_back_by_the_distance_from_the_next_instruction() {
        let mut program = Assembler::default();
        let (start, end) = (program.label(), program.label());
        program.bind(start);
        program.jump_if(Register::R1, When::Equal, 7, end);
        program.jump(start);
        program.bind(end);
        program.exit();
        assert_eq!(program.finish(), [0x0000_0007_0001_0116, 0x0000_0000_fffe_0005, 0x95]);
    }

    #[test]
    fn a_map_takes_two_words_and_names_its_descriptor() {
        let mut program = Assembler::default();
        program.map(Register::R1, 77);
        assert_eq!(program.finish(), [77 << 32 | 0x1118, 0]);
    }

    #[test]
    fn widths_and_offsets_stand_where_the_machine_reads_them() {
        let mut program = Assembler::default();
        program.load(Width::Half, Register::R2, Register::R10, -34);
        program.store(Width::Double, Register::R0, 8, Register::R1);
        program.set_word(Register::R3, u32::MAX);
        assert_eq!(program.finish(), [0x0000_0000_ffde_a269, 0x0000_0000_0008_107b, 0xffff_ffff_0000_03b4]);
    }

    #[test]
    #[should_panic(expected = "label 0 stands nowhere")]
    fn a_label_that_was_forgotten_is_found_at_once() {
        let mut program = Assembler::default();
        let label = program.label();
        program.jump(label);
        program.finish();
    }
}
