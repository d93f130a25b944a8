//! Reading and writing from one declaration: the cursor, the buffer, and the types that a layout is made of.
//!
//! A record's file declares its fields once, with `layout!`; both directions follow from it.

use bstr::{BStr, ByteSlice as _};
use std::fmt;
use std::marker::PhantomData;
use std::slice::ChunksExact;

use crate::Endian;
use crate::misc::Misc;

/// Why a field could not be read. The caller knows the record and its offset and adds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes end before the field does.
    Short,
    /// A name has no terminating NUL inside its record.
    NoNul,
    /// A count is larger than the number of elements that the record has room for.
    Count(u64),
    /// A size byte or word holds a value that its field cannot have.
    Size(u64),
    /// A word holds a value that its field cannot have.
    Value(u64),
    /// The bytes are not those that must stand here.
    Unexpected,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "it is cut short"),
            Self::NoNul => write!(f, "it has no terminating NUL"),
            Self::Count(count) => write!(f, "a count of {count} does not fit"),
            Self::Unexpected => write!(f, "not what must stand here"),
            Self::Size(size) => write!(f, "a size of {size} is not possible"),
            Self::Value(value) => write!(f, "a value of {value:#x} is not possible"),
        }
    }
}

/// A field and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name in its layout.
    pub field: &'static str,
    /// The problem.
    pub problem: Problem,
}

/// A cursor over one record, in the record's byte order.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    pos: usize,
    endian: Endian,
    /// The misc word of the record, on which a few layouts depend.
    pub(crate) misc: Misc,
}

impl<'a> Decoder<'a> {
    /// A cursor at byte `pos` of `bytes`; `bytes` starts where the record starts, so that padding is right.
    #[must_use]
    pub fn new(bytes: &'a [u8], pos: usize, endian: Endian, misc: Misc) -> Self {
        Self { bytes, pos: pos.min(bytes.len()), endian, misc }
    }

    /// The byte order of what is read.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// Switches to another byte order, for data that declares its own.
    pub(crate) fn set_endian(&mut self, endian: Endian) {
        self.endian = endian;
    }

    /// The bytes not yet read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.pos..).unwrap_or_default()
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    /// [`Problem::Short`] where fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Problem> {
        let taken = self.rest().get(..len).ok_or(Problem::Short)?;
        self.pos += len;
        Ok(taken)
    }

    /// Takes a fixed number of bytes.
    ///
    /// # Errors
    /// [`Problem::Short`] where fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let taken = *self.rest().first_chunk().ok_or(Problem::Short)?;
        self.pos += N;
        Ok(taken)
    }

    /// Skips to the next multiple of eight bytes from the record's start, or to its end.
    pub fn align(&mut self) {
        self.pos = self.pos.next_multiple_of(8).min(self.bytes.len());
    }

    /// Reads one value.
    ///
    /// # Errors
    /// The problem that [`Codec::decode`] returns.
    pub fn get<T: Codec<'a>>(&mut self) -> Result<T, Problem> {
        T::decode(self)
    }

    /// Reads one named field.
    ///
    /// # Errors
    /// The problem, with the field's name.
    pub fn field<T: Codec<'a>>(&mut self, field: &'static str) -> Result<T, FieldError> {
        T::decode(self).map_err(|problem| FieldError { field, problem })
    }
}

/// A record being written at the end of a buffer, in a given byte order.
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    endian: Endian,
    /// The misc word that the record will have; layouts with variants set their bit in it.
    pub(crate) misc: Misc,
}

impl<'o> Encoder<'o> {
    /// Starts a record, or a bare structure, at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>, endian: Endian, misc: Misc) -> Self {
        Self { start: out.len(), out, endian, misc }
    }

    /// The byte order of what is written.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends one value.
    pub fn put<'a, T: Codec<'a>>(&mut self, value: &T) {
        value.encode(self);
    }

    /// Pads with NULs to the next multiple of eight bytes from the record's start.
    pub fn align(&mut self) {
        let len = self.len().next_multiple_of(8);
        self.out.resize(self.start + len, 0);
    }

    /// Bytes written since the start.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Whether nothing has been written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Overwrites bytes that were written at `at`, for a header that is known only at the end.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        let at = self.start + at;
        if let Some(place) = self.out.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// A value that is read and written the same way.
pub trait Codec<'a>: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// Where the bytes end too soon or cannot be such a value.
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem>;

    /// Writes the value.
    fn encode(&self, e: &mut Encoder<'_>);
}

/// A value whose size in bytes is the same for all.
pub trait Fixed: for<'a> Codec<'a> {
    /// The size in bytes.
    const SIZE: usize;
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Codec<'_> for $ty {
            fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
                let bytes = d.array()?;
                Ok(match d.endian {
                    Endian::Little => Self::from_le_bytes(bytes),
                    Endian::Big => Self::from_be_bytes(bytes),
                })
            }

            fn encode(&self, e: &mut Encoder<'_>) {
                match e.endian {
                    Endian::Little => e.bytes(&self.to_le_bytes()),
                    Endian::Big => e.bytes(&self.to_be_bytes()),
                }
            }
        }

        impl Fixed for $ty {
            const SIZE: usize = size_of::<$ty>();
        }
    )*};
}
integers!(u8, u16, u32, u64, i32);

/// Bytes whose order never changes.
impl<const N: usize> Codec<'_> for [u8; N] {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        d.array()
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.bytes(self);
    }
}

impl<const N: usize> Fixed for [u8; N] {
    const SIZE: usize = N;
}

/// Bytes whose order never changes, where they stand.
impl<'a, const N: usize> Codec<'a> for &'a [u8; N] {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem> {
        d.take(N)?.first_chunk().ok_or(Problem::Short)
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.bytes(*self);
    }
}

/// A name: bytes up to a NUL, padded with NULs so that the record so far is a multiple of eight bytes.
impl<'a> Codec<'a> for &'a BStr {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem> {
        let len = d.rest().find_byte(0).ok_or(Problem::NoNul)?;
        let name = d.take(len)?;
        d.take(1)?;
        d.align();
        Ok(name.as_bstr())
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.bytes(self);
        e.bytes(&[0]);
        e.align();
    }
}

/// The rest of the record.
impl<'a> Codec<'a> for &'a [u8] {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem> {
        d.take(d.rest().len())
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.bytes(self);
    }
}

/// A field that older writers left out: it is `Some` if any bytes are left.
impl<'a, T: Codec<'a>> Codec<'a> for Option<T> {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem> {
        if d.rest().is_empty() { Ok(None) } else { d.get().map(Some) }
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        if let Some(value) = self {
            e.put(value);
        }
    }
}

/// Elements of one fixed size, each decoded when the iterator comes to it.
#[derive(Clone, Copy)]
pub struct Array<'a, T> {
    bytes: &'a [u8],
    endian: Endian,
    element: PhantomData<T>,
}

impl<'a, T: Fixed> Array<'a, T> {
    /// A view of `bytes` as elements; bytes at the end that do not fill an element are ignored.
    #[must_use]
    pub fn new(bytes: &'a [u8], endian: Endian) -> Self {
        Self { bytes, endian, element: PhantomData }
    }

    /// The byte order of the elements.
    pub(crate) fn endian(&self) -> Endian {
        self.endian
    }

    /// The bytes of all of them.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[doc(hidden)]
    /// Takes `count` elements from the cursor.
    ///
    /// # Errors
    /// [`Problem::Count`] where the record does not hold that many.
    pub fn counted(d: &mut Decoder<'a>, count: u64) -> Result<Self, Problem> {
        let len = usize::try_from(count).ok().and_then(|count| count.checked_mul(T::SIZE));
        let bytes = len.and_then(|len| d.take(len).ok()).ok_or(Problem::Count(count))?;
        Ok(Self::new(bytes, d.endian))
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / T::SIZE
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements in order.
    #[must_use]
    #[inline]
    pub fn iter(&self) -> ArrayIter<'a, T> {
        let Self { bytes, endian, element } = *self;
        ArrayIter { chunks: bytes.chunks_exact(T::SIZE), endian, element }
    }
}

impl<'a, T: Fixed> IntoIterator for Array<'a, T> {
    type Item = T;
    type IntoIter = ArrayIter<'a, T>;

    fn into_iter(self) -> ArrayIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Fixed> IntoIterator for &Array<'a, T> {
    type Item = T;
    type IntoIter = ArrayIter<'a, T>;

    fn into_iter(self) -> ArrayIter<'a, T> {
        self.iter()
    }
}

/// The elements of an [`Array`] in their order.
#[derive(Debug, Clone)]
pub struct ArrayIter<'a, T> {
    chunks: ChunksExact<'a, u8>,
    endian: Endian,
    element: PhantomData<T>,
}

impl<T: Fixed> Iterator for ArrayIter<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let endian = self.endian;
        self.chunks.find_map(|chunk| T::decode(&mut Decoder::new(chunk, 0, endian, Misc::default())).ok())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.chunks.size_hint().1)
    }
}

impl<T: Fixed + fmt::Debug> fmt::Debug for Array<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Fixed + PartialEq> PartialEq for Array<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Fixed + Eq> Eq for Array<'_, T> {}

/// A `u64` count and that many elements.
impl<'a, T: Fixed> Codec<'a> for Array<'a, T> {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem> {
        let count = d.get()?;
        Self::counted(d, count)
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&(self.len() as u64));
        self.encode_elements(e);
    }
}

impl<T: Fixed> Array<'_, T> {
    #[doc(hidden)]
    /// Writes the elements without a count before them.
    pub fn encode_elements(&self, e: &mut Encoder<'_>) {
        for element in self.iter() {
            e.put(&element);
        }
    }
}

/// All that is left of the record, as `u64` words; bytes that do not fill a word stay unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words<'a>(pub Array<'a, u64>);

impl<'a> Codec<'a> for Words<'a> {
    fn decode(d: &mut Decoder<'a>) -> Result<Self, Problem> {
        let count = d.rest().len() / 8;
        Array::counted(d, count as u64).map(Self)
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        self.0.encode_elements(e);
    }
}

/// Declares a structure once: its documentation, its fields in the order of their bytes, and by that both
/// directions of its codec and what a [visitor](crate::visit) is told. The three forms are a record of fixed size
/// (`fixed struct`), one without borrowed parts, and one with them (`struct Name<'a>`). `as Kind` behind a field's type
/// is the [`FieldKind`](crate::FieldKind) of its value, and `= "name"` behind that its name in C where it is another.
macro_rules! layout {
    (@kind) => { $crate::visit::FieldKind::Number };
    (@kind $kind:ident) => { $crate::visit::FieldKind::$kind };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
    (@fields $self:ident $v:ident $($field:ident $(as $kind:ident $(= $cname:literal)?)?,)*) => {
        $($crate::visit::VisitField::visit_as(
            &$self.$field,
            $crate::codec::layout!(@name $field $($($cname)?)?),
            $crate::codec::layout!(@kind $($kind)?),
            $v,
        );)*
    };
    ($(#[$meta:meta])* pub fixed struct $name:ident {
        $($(#[$fmeta:meta])* pub $field:ident: $ty:ty $(as $kind:ident $(= $cname:literal)?)?,)*
    }) => {
        $crate::codec::layout! {
            $(#[$meta])*
            #[derive(Copy, Default)]
            pub struct $name { $($(#[$fmeta])* pub $field: $ty $(as $kind $(= $cname)?)?,)* }
        }

        impl $crate::codec::Fixed for $name {
            const SIZE: usize = 0 $(+ <$ty as $crate::codec::Fixed>::SIZE)*;
        }
    };
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$fmeta:meta])* pub $field:ident: $ty:ty $(as $kind:ident $(= $cname:literal)?)?,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        impl $crate::codec::Layout<'_> for $name {
            fn read(d: &mut $crate::codec::Decoder<'_>) -> Result<Self, $crate::codec::FieldError> {
                Ok(Self { $($field: d.field(stringify!($field))?,)* })
            }

            fn write(&self, e: &mut $crate::codec::Encoder<'_>) {
                $(e.put(&self.$field);)*
            }
        }

        impl $crate::visit::VisitFields for $name {
            fn visit(&self, v: &mut dyn $crate::visit::FieldVisitor) {
                $crate::codec::layout!(@fields self v $($field $(as $kind $(= $cname)?)?,)*);
            }
        }

        impl $crate::visit::VisitField for $name {
            fn visit_as(
                &self,
                _: &'static str,
                _: $crate::visit::FieldKind,
                v: &mut dyn $crate::visit::FieldVisitor,
            ) {
                $crate::visit::VisitFields::visit(self, v);
            }
        }

        $crate::codec::codec_of_layout!($name);
    };
    ($(#[$meta:meta])* pub struct $name:ident<'a> {
        $($(#[$fmeta:meta])* pub $field:ident: $ty:ty $(as $kind:ident $(= $cname:literal)?)?,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name<'a> { $($(#[$fmeta])* pub $field: $ty,)* }

        impl<'a> $crate::codec::Layout<'a> for $name<'a> {
            fn read(d: &mut $crate::codec::Decoder<'a>) -> Result<Self, $crate::codec::FieldError> {
                Ok(Self { $($field: d.field(stringify!($field))?,)* })
            }

            fn write(&self, e: &mut $crate::codec::Encoder<'_>) {
                $(e.put(&self.$field);)*
            }
        }

        impl $crate::visit::VisitFields for $name<'_> {
            fn visit(&self, v: &mut dyn $crate::visit::FieldVisitor) {
                $crate::codec::layout!(@fields self v $($field $(as $kind $(= $cname)?)?,)*);
            }
        }
    };
}
pub(crate) use layout;

/// A structure without borrowed parts may itself be a field or an element.
macro_rules! codec_of_layout {
    ($name:ident) => {
        impl $crate::codec::Codec<'_> for $name {
            fn decode(d: &mut $crate::codec::Decoder<'_>) -> Result<Self, $crate::codec::Problem> {
                <Self as $crate::codec::Layout<'_>>::read(d).map_err(|error| error.problem)
            }

            fn encode(&self, e: &mut $crate::codec::Encoder<'_>) {
                <Self as $crate::codec::Layout<'_>>::write(self, e);
            }
        }
    };
}
pub(crate) use codec_of_layout;

/// A record's body: fields in order, with the name of the one that could not be read.
pub trait Layout<'a>: Sized {
    /// Reads the body.
    ///
    /// # Errors
    /// The first field that cannot be read.
    fn read(d: &mut Decoder<'a>) -> Result<Self, FieldError>;

    /// Writes the body.
    fn write(&self, e: &mut Encoder<'_>);
}
