//! A table of call frame information (`.eh_frame`, `.debug_frame`): the rule for an address.

use std::sync::OnceLock;

use gimli::{
    BaseAddresses, DebugFrame, EhFrame, EhFrameHdr, EndianSlice, Reader as _, RunTimeEndian, UnwindOffset,
    UnwindSection, Vendor,
};

use super::index::FdeIndex;
use super::table_bytes::TableBytes;
use crate::architecture::Architecture;
use crate::limits::ENTRY_AT_MOST;
use crate::rule::{RowContext, Rule};

type Slice<'d> = EndianSlice<'d, RunTimeEndian>;

/// Which section it is, for its entries differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableKind {
    EhFrame,
    DebugFrame,
}

/// What addresses in a table are relative to.
pub(crate) struct TableBases(pub(crate) BaseAddresses);

/// A table.
#[derive(Debug)]
pub(crate) struct CfiTable {
    kind: TableKind,
    architecture: Architecture,
    order: RunTimeEndian,
    /// The section's address.
    address: u64,
    bytes: TableBytes,
    search: Search,
}

/// How the entry for an address is found.
#[derive(Debug)]
enum Search {
    /// The table in `.eh_frame_hdr`, from its first byte behind the header on, of pairs of 32-bit distances from the header.
    Header { address: u64, bytes: TableBytes, from: usize, count: usize },
    /// An index of our own, built when it is first needed.
    Index(OnceLock<FdeIndex>),
}

/// Bytes in front of the pairs of a search table of the usual encodings: version, three encodings, a 32-bit pointer, a
/// 32-bit count.
const PAIRS_AT: usize = 12;
/// `DW_EH_PE_udata4`, and `DW_EH_PE_datarel | DW_EH_PE_sdata4`.
const COUNT_ENCODING: u8 = 0x03;
const PAIR_ENCODING: u8 = 0x3b;

impl CfiTable {
    pub(crate) fn new(
        kind: TableKind,
        architecture: Architecture,
        order: RunTimeEndian,
        address: u64,
        bytes: TableBytes,
        header: Option<(u64, TableBytes)>,
    ) -> Self {
        let search = header.and_then(|(address, bytes)| search_table(address, bytes, order));
        let search = search.unwrap_or_else(|| Search::Index(OnceLock::new()));
        Self { kind, architecture, order, address, bytes, search }
    }

    /// The address of the `.eh_frame` that an `.eh_frame_hdr` is for.
    pub(crate) fn eh_frame_of(
        architecture: Architecture,
        order: RunTimeEndian,
        address: u64,
        header: &[u8],
    ) -> Option<u64> {
        let bases = BaseAddresses::default().set_eh_frame_hdr(address);
        let parsed = EhFrameHdr::new(header, order).parse(&bases, architecture.word()).ok()?;
        Some(parsed.eh_frame_ptr().direct().ok()? & architecture.mask())
    }

    pub(crate) fn name(&self) -> &'static str {
        match (self.kind, &self.search) {
            (TableKind::EhFrame, Search::Header { .. }) => ".eh_frame_hdr",
            (TableKind::EhFrame, Search::Index(_)) => ".eh_frame",
            (TableKind::DebugFrame, _) => ".debug_frame",
        }
    }

    /// The rule for an address; [`Rule::Missing`] where the table does not cover it.
    pub(crate) fn rule(&self, address: u64, context: &mut RowContext) -> Rule {
        let (bytes, word) = (self.bytes.get(), self.architecture.word());
        let bases = TableBases(BaseAddresses::default().set_eh_frame(self.address));
        let is_arm = self.architecture == Architecture::Aarch64;
        match self.kind {
            TableKind::EhFrame => {
                let mut section = EhFrame::new(bytes, self.order);
                section.set_address_size(word);
                if is_arm {
                    section.set_vendor(Vendor::AArch64);
                }
                self.rule_in(&section, bytes, &bases, address, context)
            }
            TableKind::DebugFrame => {
                let mut section = DebugFrame::new(bytes, self.order);
                section.set_address_size(word);
                if is_arm {
                    section.set_vendor(Vendor::AArch64);
                }
                self.rule_in(&section, bytes, &bases, address, context)
            }
        }
    }

    fn rule_in<'d, S>(
        &self,
        section: &S,
        all: &'d [u8],
        bases: &TableBases,
        address: u64,
        context: &mut RowContext,
    ) -> Rule
    where
        S: UnwindSection<Slice<'d>>,
    {
        let all = EndianSlice::new(all, self.order);
        let offset = match &self.search {
            Search::Header { address: header, bytes, from, count } => {
                let mask = self.architecture.mask();
                let pairs = bytes.get().get(*from..).unwrap_or_default();
                let entry = find_pair(pairs, *count, self.order, address, |distance| {
                    header.wrapping_add_signed(distance.into()) & mask
                });
                entry.and_then(|entry| usize::try_from(entry.wrapping_sub(self.address) & mask).ok())
            }
            Search::Index(index) => index.get_or_init(|| FdeIndex::build(section, all, bases)).find(address),
        };
        let Some(offset) = offset else { return Rule::Missing };
        if check_entry(all, offset).is_err() {
            return Rule::Bad;
        }
        let fde = section.fde_from_offset(&bases.0, offset.into(), |section, bases, offset| {
            check_entry(all, UnwindOffset::into(offset))?;
            section.cie_from_offset(bases, offset)
        });
        match fde {
            Ok(fde) if fde.contains(address) => {
                Rule::of_fde(self.architecture, section, &bases.0, &fde, address, context)
            }
            Ok(_) => Rule::Missing,
            Err(_) => Rule::Bad,
        }
    }
}

/// The search table of a header, where it is one of the usual kind.
fn search_table(address: u64, bytes: TableBytes, order: RunTimeEndian) -> Option<Search> {
    let header = bytes.get();
    // The pointer to the table itself has four bytes, too, whatever it is relative to.
    let [1, pointer, COUNT_ENCODING, PAIR_ENCODING, ..] = *header else { return None };
    if pointer & 0x0f != 0x03 && pointer & 0x0f != 0x0b {
        return None;
    }
    let mut count = EndianSlice::new(header.get(8..PAIRS_AT)?, order);
    let count = usize::try_from(count.read_u32().ok()?).ok()?;
    let count = count.min((header.len() - PAIRS_AT) / 8);
    (count > 0).then_some(Search::Header { address, bytes, from: PAIRS_AT, count })
}

/// The second of the last pair whose first is not above an address.
fn find_pair(
    pairs: &[u8],
    count: usize,
    order: RunTimeEndian,
    address: u64,
    absolute: impl Fn(i32) -> u64,
) -> Option<u64> {
    let read = |at: usize| EndianSlice::new(pairs.get(at..at.checked_add(4)?)?, order).read_i32().ok();
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if absolute(read(8 * middle)?) <= address {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    read(8 * low.checked_sub(1)? + 4).map(absolute)
}

/// Refuses an entry that is longer than any before it is read, and says how long it is: reading one takes time by its length.
pub(crate) fn check_entry(section: Slice<'_>, offset: usize) -> gimli::Result<u64> {
    let mut reader = section;
    reader.skip(offset)?;
    // The 64-bit format escapes with the highest number.
    let length = match reader.read_u32()? {
        u32::MAX => reader.read_u64()?,
        length => length.into(),
    };
    if length > ENTRY_AT_MOST { Err(gimli::Error::UnsupportedOffset) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_of_the_function_at_or_before_an_address_is_found() {
        let pairs: Vec<_> = [-16i32, 1, 0, 2, 16, 3].iter().flat_map(|word| word.to_le_bytes()).collect();
        let find = |address| {
            find_pair(&pairs, 3, RunTimeEndian::Little, address, |distance| {
                0x1000u64.wrapping_add_signed(distance.into())
            })
        };
        assert_eq!(find(0xfef), None);
        assert_eq!((find(0xff0), find(0xfff)), (Some(0x1001), Some(0x1001)));
        assert_eq!((find(0x1000), find(0x100f)), (Some(0x1002), Some(0x1002)));
        assert_eq!(find(u64::MAX), Some(0x1003));
    }

    #[test]
    fn a_count_that_the_header_has_no_room_for_is_cut() {
        let mut header = vec![1, 0x1b, COUNT_ENCODING, PAIR_ENCODING, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        header.extend([0; 20]);
        let search = search_table(0, TableBytes::Copied(header.into()), RunTimeEndian::Little);
        assert!(matches!(search, Some(Search::Header { count: 2, .. })));
    }
}
