//! The registers of a thread at one moment, or of the function that called it as far as they are known.

use crate::architecture::Architecture;

/// How many registers are kept: all whose DWARF numbers tables use for what calls preserve, and addresses.
pub(crate) const COUNT: u8 = 33;

/// The registers of a thread, by their DWARF numbers.
#[derive(Debug, Clone)]
pub struct Registers {
    pub(crate) architecture: Architecture,
    values: [u64; COUNT as usize],
    /// A bit for each that is known.
    known: u64,
    /// A bit for each that is unknown since it was saved beyond the recorded stack.
    cut: u64,
}

impl Registers {
    /// No register is known yet.
    #[must_use]
    pub fn new(architecture: Architecture) -> Self {
        Self { architecture, values: [0; COUNT as usize], known: 0, cut: 0 }
    }

    /// The registers of a sample: a mask (`sample_regs_user`) and a value for each of its bits, from the lowest on.
    #[must_use]
    pub fn from_perf(architecture: Architecture, mask: u64, values: impl IntoIterator<Item = u64>) -> Self {
        let mut registers = Self::new(architecture);
        let bits = (0..64).filter(|bit| mask >> bit & 1 == 1);
        for (bit, value) in bits.zip(values) {
            if let Some(number) = architecture.dwarf_of_perf(bit) {
                registers.set(number, value);
            }
        }
        registers
    }

    /// Sets a register by its DWARF number. One that unwinding does not need is left out.
    #[inline]
    pub fn set(&mut self, number: u8, value: u64) {
        if let Some(place) = self.values.get_mut(usize::from(number)) {
            *place = value & self.architecture.mask();
            self.known |= 1 << number;
        }
    }

    /// The value of a register by its DWARF number, if it is known.
    #[must_use]
    #[inline]
    pub fn get(&self, number: u8) -> Option<u64> {
        let value = self.values.get(usize::from(number))?;
        (self.known >> number & 1 == 1).then_some(*value)
    }

    /// Forgets a register, which is one of those that are kept.
    pub(crate) fn forget(&mut self, number: u8, is_cut: bool) {
        let bit = 1 << (number & 63);
        self.known &= !bit;
        if is_cut {
            self.cut |= bit;
        } else {
            self.cut &= !bit;
        }
    }

    /// Whether a register is unknown since it was saved beyond the recorded stack.
    pub(crate) fn is_cut(&self, number: u8) -> bool {
        self.known >> (number & 63) & 1 == 0 && self.cut >> (number & 63) & 1 == 1
    }

    /// The instruction's address.
    #[inline]
    pub(crate) fn pc(&self) -> Option<u64> {
        self.get(self.architecture.pc())
    }

    /// The stack pointer, if it is known.
    #[must_use]
    #[inline]
    pub fn stack_pointer(&self) -> Option<u64> {
        self.get(self.architecture.sp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_to_the_registers_of_the_mask_in_its_order() {
        // What perf asks x86-64 for with --call-graph dwarf: no segments but cs and ss.
        let registers = Registers::from_perf(Architecture::X86_64, 0xff_0fff, 100..120);
        assert_eq!(registers.get(0), Some(100));
        assert_eq!(registers.get(3), Some(101));
        assert_eq!((registers.stack_pointer(), registers.pc()), (Some(107), Some(108)));
        assert_eq!(registers.get(8), Some(112));
        assert_eq!(registers.get(15), Some(119));
    }

    #[test]
    fn registers_that_no_value_is_there_for_are_unknown() {
        let registers = Registers::from_perf(Architecture::Aarch64, u64::MAX, [1, 2]);
        assert_eq!((registers.get(1), registers.get(2), registers.pc()), (Some(2), None, None));
        assert_eq!(registers.get(200), None);
    }
}
