//! Showing fields: what `layout!` declares once for reading and writing, a visitor is told in the same order, with the
//! names that the fields have in C.
//!
//! A structure inside another is told as fields of the outer one, since C has most of them as unions or not at all; an
//! array of structures is a list of groups.

use bstr::{BStr, ByteSlice as _};

use crate::codec::{Array, Fixed, Words};

/// What the value of a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldKind {
    /// A count, a code, a number of any other kind.
    Number,
    /// A number that one reads in hexadecimal: a size, an offset, bits.
    Hex,
    /// An address in memory.
    Address,
    /// The addresses of a call chain, with the markers between them.
    Chain,
    /// A process.
    Pid,
    /// A thread.
    Tid,
    /// A moment, in ns of the recording's clock.
    Time,
    /// A CPU.
    Cpu,
    /// An id of an instance of an event.
    EventId,
    /// What identifies a file within a boot: device, inode, generation.
    Inode,
    /// The id of a cgroup.
    Cgroup,
    /// `PROT_*` bits of mmap(2).
    Prot,
    /// `MAP_*` bits of mmap(2).
    MapFlags,
    /// A register's value: a number or an address.
    Register,
    /// Bytes of memory, in which addresses may be.
    Memory,
    /// Bytes of text, filled up with NULs.
    Text,
    /// Bytes that mean nothing: they are shown where they are not 0.
    Padding,
}

/// The value of a field.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum FieldData<'a> {
    /// A number without a sign.
    Unsigned(u64),
    /// A number with a sign.
    Signed(i64),
    /// A text; any bytes.
    Text(&'a BStr),
    /// A name out of a list that is known here, which needs no quotes.
    Word(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Numbers without a sign.
    Words(Array<'a, u64>),
    /// The names of bits that are set, and the bits that have none.
    Flags(&'a [&'a str], u64),
}

/// What is told of the fields of a structure, one after the other.
///
/// Elements of a list have no name (it is empty). What was begun is ended, innermost first.
pub trait FieldVisitor {
    /// A field.
    fn field(&mut self, name: &str, kind: FieldKind, value: FieldData<'_>);

    /// The beginning of a list of so many elements.
    fn begin_list(&mut self, name: &str, len: usize);

    /// The end of a list.
    fn end_list(&mut self);

    /// The beginning of a group of fields. Where it returns false the fields need not be told; the end must be.
    fn begin_group(&mut self, name: &str) -> bool;

    /// The end of a group.
    fn end_group(&mut self);
}

/// A structure that tells its fields.
pub trait VisitFields {
    /// Tells the fields, in their order.
    fn visit(&self, v: &mut dyn FieldVisitor);
}

/// A value that is a field.
#[doc(hidden)]
pub trait VisitField {
    /// Tells the value under a field's name. A structure tells its own fields instead.
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor);
}

/// Tells flags by the names of their bits.
pub(crate) fn visit_flags<F: bitflags::Flags<Bits: Into<u64>>>(
    name: &str,
    kind: FieldKind,
    flags: &F,
    v: &mut dyn FieldVisitor,
) {
    let mut rest = flags.bits().into();
    let names = flags.iter_names().map(|(name, flag)| {
        rest &= !flag.bits().into();
        name
    });
    let names: Vec<_> = names.collect();
    v.field(name, kind, FieldData::Flags(&names, rest));
}

/// Whether numbers of a kind are shown with a sign, since -1 means something.
fn is_signed(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Pid | FieldKind::Tid | FieldKind::Cpu)
}

macro_rules! numbers {
    ($($ty:ty => $wide:ty),*) => {$(
        impl VisitField for $ty {
            #[inline]
            fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
                if kind == FieldKind::Padding && *self == 0 {
                    return;
                }
                let value = match is_signed(kind) {
                    true => FieldData::Signed(self.cast_signed().into()),
                    false => FieldData::Unsigned((*self).into()),
                };
                v.field(name, kind, value);
            }
        }
    )*};
}
numbers!(u8 => u64, u16 => u64, u32 => u64, u64 => u64);

impl VisitField for i32 {
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        v.field(name, kind, FieldData::Signed((*self).into()));
    }
}

impl VisitField for &BStr {
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        v.field(name, kind, FieldData::Text(self));
    }
}

impl VisitField for &[u8] {
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        match kind {
            FieldKind::Padding if self.iter().all(|byte| *byte == 0) => {}
            FieldKind::Text => v.field(name, kind, FieldData::Text(filled(self))),
            _ => v.field(name, kind, FieldData::Bytes(self)),
        }
    }
}

impl<const N: usize> VisitField for [u8; N] {
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        self.as_slice().visit_as(name, kind, v);
    }
}

impl<const N: usize> VisitField for &[u8; N] {
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        self.as_slice().visit_as(name, kind, v);
    }
}

/// The text in bytes that are filled up with NULs. What stands behind the first of them is not shown.
fn filled(bytes: &[u8]) -> &BStr {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().as_bstr()
}

impl<T: VisitField> VisitField for Option<T> {
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        if let Some(value) = self {
            value.visit_as(name, kind, v);
        }
    }
}

/// Numbers in an array are one value; structures are a list of groups.
impl<T: VisitElement> VisitField for Array<'_, T> {
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        T::visit_all(self, name, kind, v);
    }
}

impl VisitField for Words<'_> {
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        v.field(name, kind, FieldData::Words(self.0));
    }
}

/// An element of an array.
#[doc(hidden)]
pub trait VisitElement: Fixed {
    /// Tells an array of such elements.
    fn visit_all(array: &Array<'_, Self>, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor);
}

impl VisitElement for u64 {
    fn visit_all(array: &Array<'_, Self>, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        v.field(name, kind, FieldData::Words(*array));
    }
}

macro_rules! narrow {
    ($($ty:ty),*) => {$(
        impl VisitElement for $ty {
            fn visit_all(
                array: &Array<'_, Self>,
                name: &'static str,
                kind: FieldKind,
                v: &mut dyn FieldVisitor,
            ) {
                v.begin_list(name, array.len());
                array.iter().for_each(|element| v.field("", kind, FieldData::Unsigned(element.into())));
                v.end_list();
            }
        }
    )*};
}
narrow!(u16, u32);

impl<T: VisitFields + Fixed> VisitElement for T {
    fn visit_all(array: &Array<'_, Self>, name: &'static str, _: FieldKind, v: &mut dyn FieldVisitor) {
        v.begin_list(name, array.len());
        for element in array.iter() {
            if v.begin_group("") {
                element.visit(v);
            }
            v.end_group();
        }
        v.end_list();
    }
}
