//! The memory that was recorded of a thread's stack.

use crate::architecture::ByteOrder;

/// A piece of a thread's stack, from its stack pointer upwards.
#[derive(Debug, Clone, Copy)]
pub struct StackMemory<'a> {
    start: u64,
    bytes: &'a [u8],
    order: ByteOrder,
    is_cut: bool,
}

/// Why memory is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMemory {
    /// It stands beyond the end of what was recorded.
    Cut,
    /// It is not of the recorded stack.
    Elsewhere,
}

impl<'a> StackMemory<'a> {
    /// The bytes at an address, which is the stack pointer's. More of the stack is taken to stand behind them.
    #[must_use]
    pub fn new(start: u64, bytes: &'a [u8], order: ByteOrder) -> Self {
        Self { start, bytes, order, is_cut: true }
    }

    /// The same, and all that there is: the stack ends where the bytes end. A `dyn_size` below the size that was asked for shows
    /// that, but for memory that was not there when the kernel read it.
    #[must_use]
    pub fn whole(start: u64, bytes: &'a [u8], order: ByteOrder) -> Self {
        Self { is_cut: false, ..Self::new(start, bytes, order) }
    }

    /// The number of `size` bytes, at most eight, at an address.
    #[inline]
    pub(crate) fn read(&self, address: u64, size: u8) -> Result<u64, NoMemory> {
        let size = usize::from(size);
        // An address below the start is far behind the end.
        let at = address.wrapping_sub(self.start);
        let bytes = usize::try_from(at).ok().and_then(|at| self.bytes.get(at..)?.get(..size));
        match bytes {
            Some(bytes) => Ok(number(bytes, self.order)),
            None => Err(self.why(address)),
        }
    }

    #[cold]
    fn why(&self, address: u64) -> NoMemory {
        if self.is_cut && address >= self.start { NoMemory::Cut } else { NoMemory::Elsewhere }
    }

    /// Whether the address is one of the recorded piece.
    pub(crate) fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.start) < self.bytes.len() as u64
    }
}

/// A number of at most eight bytes.
#[inline]
pub(crate) fn number(bytes: &[u8], order: ByteOrder) -> u64 {
    if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
        return match order {
            ByteOrder::Little => u64::from_le_bytes(bytes),
            ByteOrder::Big => u64::from_be_bytes(bytes),
        };
    }
    let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    match order {
        ByteOrder::Little => bytes.iter().rev().fold(0, add),
        ByteOrder::Big => bytes.iter().fold(0, add),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_the_byte_order_of_the_stack() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        let little = StackMemory::new(0x1000, &bytes, ByteOrder::Little);
        let big = StackMemory::new(0x1000, &bytes, ByteOrder::Big);
        assert_eq!(little.read(0x1000, 8), Ok(0x0807_0605_0403_0201));
        assert_eq!(big.read(0x1000, 8), Ok(0x0102_0304_0506_0708));
        assert_eq!((little.read(0x1004, 4), big.read(0x1004, 4)), (Ok(0x0807_0605), Ok(0x0506_0708)));
    }

    #[test]
    fn what_does_not_lie_wholly_inside_is_cut_or_elsewhere() {
        let cut = StackMemory::new(u64::MAX - 15, &[0; 16], ByteOrder::Little);
        assert_eq!(cut.read(u64::MAX - 7, 8), Ok(0));
        assert_eq!(cut.read(u64::MAX - 6, 8), Err(NoMemory::Cut));
        assert_eq!(cut.read(0, 8), Err(NoMemory::Elsewhere));
        assert_eq!(cut.read(u64::MAX - 16, 8), Err(NoMemory::Elsewhere));
        let whole = StackMemory::whole(0x1000, &[0; 16], ByteOrder::Little);
        assert_eq!(whole.read(0x1010, 8), Err(NoMemory::Elsewhere));
        assert!(whole.contains(0x100f) && !whole.contains(0x1010));
    }
}
