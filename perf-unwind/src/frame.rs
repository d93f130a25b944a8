//! What unwinding gives: the frames of a stack, and why there are no more.

/// A frame of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallFrame {
    /// The address of the instruction that goes on when all called functions have returned.
    pub address: u64,
    /// What told it.
    pub found_by: FoundBy,
    /// Whether the address is the one behind a call. Otherwise the instruction there was interrupted, by the sample or by a
    /// signal whose handler is further in; or it is a signal trampoline's first, which nobody called.
    pub is_return_address: bool,
}

impl CallFrame {
    /// An address within the instruction that runs or calls: the one behind a call may already be another function's.
    #[must_use]
    pub fn lookup_address(&self) -> u64 {
        self.address.wrapping_sub(self.is_return_address.into())
    }
}

/// What told a frame's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FoundBy {
    /// The registers that were recorded: it is the innermost frame.
    Registers,
    /// An unwinding table, or a signal trampoline that the kernel's frame tells the way from.
    Table,
    /// The frame pointer of code that no table covers: a frame may be missing in front of this one.
    FramePointer,
}

/// How unwinding a stack went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwound {
    /// Why there are no more frames.
    pub stop: StopReason,
    /// How many frames tables told.
    pub by_table: usize,
    /// How many frames frame pointers told.
    pub by_frame_pointer: usize,
}

/// Why unwinding stopped. A `tag` is the one under which the caller has put the code at the last frame into
/// [`Modules`](crate::Modules).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The end of the stack was reached: a function that has no caller.
    EndOfStack,
    /// The rest of the stack was not recorded.
    Cut,
    /// As many frames as were asked for.
    MaxFrames,
    /// What is wanted next does not stand in the recorded piece of stack but in other memory, as where a handler runs on a
    /// stack of its own.
    OtherMemory {
        /// The address of that memory.
        address: u64,
    },
    /// No code is known to be mapped at the last frame's address.
    Unmapped {
        /// The address.
        address: u64,
    },
    /// The modules are [partial](crate::Modules::partial) and not told yet what stands at an address that is needed.
    Unknown {
        /// The address.
        address: u64,
    },
    /// No table covers the last frame's address, and the frame pointer is none.
    NoTable {
        /// The address.
        address: u64,
        /// The code's.
        tag: u64,
    },
    /// The file at the last frame's address could not be used, and the frame pointer is none.
    Unusable {
        /// The address.
        address: u64,
        /// The code's.
        tag: u64,
    },
    /// The table is damaged or says what cannot be.
    BadTable {
        /// The address for which it was asked.
        address: u64,
        /// The code's.
        tag: u64,
    },
    /// The caller's frame would not be further up than the called function's: the stack or the registers are not what the
    /// tables are for.
    NotUp {
        /// The address of the last frame.
        address: u64,
        /// The code's.
        tag: u64,
    },
    /// A register that is needed was not recorded, or its value is lost.
    NoRegister {
        /// Its DWARF number.
        number: u8,
    },
}
