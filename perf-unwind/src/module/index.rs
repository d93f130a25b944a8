//! An index of the functions of a table, for one that has none of its own.

use std::collections::HashMap;

use gimli::{CieOrFde, EndianSlice, RunTimeEndian, UnwindOffset, UnwindSection};

use super::table::{TableBases, check_entry};

/// Where the entry of each function stands, by the functions' first addresses.
#[derive(Debug, Default)]
pub(crate) struct FdeIndex(Vec<(u64, usize)>);

impl FdeIndex {
    /// Reads a whole table, as far as it is not damaged.
    pub(crate) fn build<'d, S>(section: &S, all: EndianSlice<'d, RunTimeEndian>, bases: &TableBases) -> Self
    where
        S: UnwindSection<EndianSlice<'d, RunTimeEndian>>,
    {
        let mut functions = Vec::new();
        // Each is read once: all functions may name one, and it may be long. What is read of them is no more than the table
        // has: they overlap only where somebody wants that they take long.
        let mut cies = HashMap::new();
        let mut left = all.len() as u64;
        let mut entries = section.entries(&bases.0);
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(partial) = entry else { continue };
            let fde = partial.parse(|section, bases, offset| {
                let place = UnwindOffset::into(offset);
                let cie = cies.entry(place).or_insert_with(|| {
                    let len = check_entry(all, place)?;
                    left = left.checked_sub(len).ok_or(gimli::Error::UnsupportedOffset)?;
                    section.cie_from_offset(bases, offset)
                });
                cie.clone()
            });
            let Ok(fde) = fde else { continue };
            // Functions that the linker dropped stand at 0.
            if fde.len() > 0 && fde.initial_address() != 0 {
                functions.push((fde.initial_address(), fde.offset()));
            }
        }
        functions.sort_unstable();
        Self(functions)
    }

    /// Where the entry stands that may cover an address.
    pub(crate) fn find(&self, address: u64) -> Option<usize> {
        let behind = self.0.partition_point(|(start, _)| *start <= address);
        Some(self.0.get(behind.checked_sub(1)?)?.1)
    }
}
