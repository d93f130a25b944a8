//! Byte order as a value: one reader serves both, and costs nothing measurable against a type parameter.

/// The byte order of a recording: that of the machine that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first (x86, arm64, riscv).
    Little,
    /// Most significant byte first (s390x, old powerpc).
    Big,
}

impl Endian {
    /// This machine's own order.
    pub const NATIVE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };

    /// The other order.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Little => Self::Big,
            Self::Big => Self::Little,
        }
    }
}

/// Reads and writes of one integer width, in an order known at run time.
macro_rules! integer {
    ($read:ident $write:ident $ty:ty, $size:literal) => {
        impl Endian {
            #[doc = concat!("Reads a `", stringify!($ty), "` stored in this order.")]
            #[must_use]
            pub const fn $read(self, bytes: [u8; $size]) -> $ty {
                match self {
                    Self::Little => <$ty>::from_le_bytes(bytes),
                    Self::Big => <$ty>::from_be_bytes(bytes),
                }
            }

            #[doc = concat!("The bytes of a `", stringify!($ty), "` in this order.")]
            #[must_use]
            pub const fn $write(self, value: $ty) -> [u8; $size] {
                match self {
                    Self::Little => value.to_le_bytes(),
                    Self::Big => value.to_be_bytes(),
                }
            }
        }
    };
}
integer!(u16 put_u16 u16, 2);
integer!(u32 put_u32 u32, 4);
integer!(u64 put_u64 u64, 8);

impl Endian {
    /// Reads the `u64` that starts at byte `at` of `bytes`, if it lies inside.
    #[must_use]
    pub fn u64_at(self, bytes: &[u8], at: usize) -> Option<u64> {
        bytes.get(at..)?.first_chunk().map(|word| self.u64(*word))
    }

    /// Reads the `u32` that starts at byte `at` of `bytes`, if it lies inside.
    #[must_use]
    pub fn u32_at(self, bytes: &[u8], at: usize) -> Option<u32> {
        bytes.get(at..)?.first_chunk().map(|word| self.u32(*word))
    }
}
