//! The addresses of a sample: its own, and those of its call chain. All lookups walk them here.

use std::slice::ChunksExact;

use crate::attr::SampleType;
use crate::codec::Array;
use crate::record::{CallchainDeferred, CpuMode, RawRecord, RecordType};
use crate::sample::context::Context;
use crate::sample::{FieldOffsets, Frame, SampleFormat};
use crate::{Endian, Error};

/// The place of an address in a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressKind {
    /// It is the sample's own, `PERF_SAMPLE_IP`.
    Ip,
    /// It is one of the call chain, `PERF_SAMPLE_CALLCHAIN`. The innermost is often the sample's own once more.
    Callchain,
}

/// An address of a sample and the mode it was executed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub addr: u64,
    /// Whose it is.
    pub cpumode: CpuMode,
    /// Where it stands.
    pub kind: AddressKind,
}

impl SampleFormat {
    /// The addresses of a record: of a SAMPLE its own, then those of its call chain, innermost first, each with the
    /// mode of the record or of the last marker before it; of a CALLCHAIN_DEFERRED those of the user's part of a chain.
    /// No other record has any, and a sample has only those of its event's format. The whole chain is known to be there
    /// before the first address is given.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the chain does not fit in the record.
    #[inline]
    pub fn addresses<'a>(&self, record: &RawRecord<'a>) -> Result<Addresses<'a>, Error> {
        match self.addresses_in_place(record) {
            Some(addresses) => Ok(addresses),
            // A copy, so that the record itself can stay in registers.
            None => self.addresses_anywhere(*record),
        }
    }

    /// The addresses of a sample whose chain, if it has one, stands at one place in all samples of the event.
    #[inline]
    fn addresses_in_place<'a>(&self, record: &RawRecord<'a>) -> Option<Addresses<'a>> {
        let has = |field| self.sample_type.contains(field);
        // What a counter's value holds is of no fixed length, and stands before the chain.
        if record.record_type() != RecordType::SAMPLE || has(SampleType::CALLCHAIN.union(SampleType::READ)) {
            return None;
        }
        let chain = has(SampleType::CALLCHAIN).then_some(self.after_fixed);
        Some(Addresses::new(self.ip(record), chain_at(chain, record)?, record.misc().cpumode()))
    }

    #[cold]
    fn addresses_anywhere<'a>(&self, record: RawRecord<'a>) -> Result<Addresses<'a>, Error> {
        let cpumode = record.misc().cpumode();
        let none = Array::new(&[], record.endian);
        Ok(match record.record_type() {
            RecordType::SAMPLE => {
                Addresses::new(self.ip(&record), self.callchain(&record)?.unwrap_or(none), cpumode)
            }
            RecordType::CALLCHAIN_DEFERRED => {
                Addresses::new(None, record.parse_as::<CallchainDeferred<'_>>()?.ips, CpuMode::User)
            }
            _ => Addresses::new(None, none, cpumode),
        })
    }
}

impl FieldOffsets {
    /// The same as [`SampleFormat::addresses`] of a SAMPLE, for the loop that skips nearly all of a recording; `None`
    /// where the record has no room for it.
    #[must_use]
    #[inline]
    pub fn addresses<'a>(&self, sample: &RawRecord<'a>) -> Option<Addresses<'a>> {
        let ip = sample.endian.u64_at(sample.bytes, self.ip)?;
        Some(Addresses::new(Some(ip), chain_at(self.callchain, sample)?, sample.misc().cpumode()))
    }
}

/// The call chain at a place; an empty one where there is no place, `None` where it does not fit.
#[inline]
fn chain_at<'a>(place: Option<usize>, sample: &RawRecord<'a>) -> Option<Array<'a, u64>> {
    let RawRecord { bytes, endian, .. } = *sample;
    let chain = match place {
        Some(at) => {
            let len = usize::try_from(endian.u64_at(bytes, at)?).ok()?.checked_mul(8)?;
            bytes.get(at + 8..)?.get(..len)?
        }
        None => &[],
    };
    Some(Array::new(chain, endian))
}

/// The addresses of a record, in order: what [`SampleFormat::addresses`] gives. `all` and `for_each` are faster than a
/// `for` loop, and every sample of a recording is walked.
#[derive(Debug, Clone)]
pub struct Addresses<'a> {
    own: Option<Address>,
    chain: ChunksExact<'a, u8>,
    endian: Endian,
    context: Context,
}

impl<'a> Addresses<'a> {
    #[inline]
    fn new(ip: Option<u64>, chain: Array<'a, u64>, cpumode: CpuMode) -> Self {
        let own = ip.map(|addr| Address { addr, cpumode, kind: AddressKind::Ip });
        Self {
            own,
            chain: chain.bytes().chunks_exact(8),
            endian: chain.endian(),
            context: Context::new(cpumode),
        }
    }
}

/// The address that a word of a chain is, if it is one.
#[inline]
fn address(word: &[u8], endian: Endian, context: &mut Context) -> Option<Address> {
    let Frame { ip, cpumode } = context.frame(endian.u64_at(word, 0)?)?;
    Some(Address { addr: ip, cpumode, kind: AddressKind::Callchain })
}

impl Iterator for Addresses<'_> {
    type Item = Address;

    #[inline]
    fn next(&mut self) -> Option<Address> {
        let Self { own, chain, endian, context } = self;
        own.take().or_else(|| chain.find_map(|word| address(word, *endian, context)))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let own = usize::from(self.own.is_some());
        (own, Some(own + self.chain.len()))
    }

    #[inline]
    fn all<F: FnMut(Address) -> bool>(&mut self, mut f: F) -> bool {
        if let Some(own) = self.own.take()
            && !f(own)
        {
            return false;
        }
        let Self { chain, endian, context, .. } = self;
        chain.all(|word| address(word, *endian, context).is_none_or(&mut f))
    }

    #[inline]
    fn fold<B, F: FnMut(B, Address) -> B>(self, init: B, mut f: F) -> B {
        let Self { own, chain, endian, mut context } = self;
        let init = match own {
            Some(own) => f(init, own),
            None => init,
        };
        chain.fold(init, |folded, word| match address(word, endian, &mut context) {
            Some(address) => f(folded, address),
            None => folded,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{Attr, AttrFields, ReadFormat};
    use crate::record::{Misc, Record};

    const USER: u64 = 512_u64.wrapping_neg();
    const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

    fn format(sample_type: SampleType) -> SampleFormat {
        let fields = AttrFields { sample_type, read_format: ReadFormat::GROUP, ..AttrFields::default() };
        SampleFormat::new(&Attr { fields, tail: Vec::new() })
    }

    /// A record of words, of kernel mode.
    fn record(record_type: RecordType, words: &[u64], endian: Endian) -> Vec<u8> {
        let body: Vec<u8> = words.iter().flat_map(|word| endian.put_u64(*word)).collect();
        let mut bytes = Vec::new();
        let record = Record::Other(record_type, &body);
        record.encode(Misc::of(CpuMode::Kernel), &[], endian, &mut bytes).unwrap();
        bytes
    }

    /// What is given of a record, however it is walked.
    #[track_caller]
    fn walked(format: &SampleFormat, record: &RawRecord<'_>) -> Vec<(u64, CpuMode, AddressKind)> {
        let parts = |Address { addr, cpumode, kind }| (addr, cpumode, kind);
        let addresses = format.addresses(record).unwrap();
        let walked: Vec<_> = addresses.clone().map(parts).collect();
        let mut seen = Vec::new();
        addresses.clone().for_each(|address| seen.push(parts(address)));
        assert_eq!(seen, walked);
        seen.clear();
        assert!(addresses.clone().all(|address| {
            seen.push(parts(address));
            true
        }));
        assert_eq!(seen, walked);
        if let Some(offsets) = format.field_offsets().filter(|_| record.record_type() == RecordType::SAMPLE) {
            assert_eq!(offsets.addresses(record).unwrap().map(parts).collect::<Vec<_>>(), walked);
        }
        walked
    }

    #[test]
    fn a_samples_own_address_comes_first_and_then_its_chain_with_the_modes_of_its_markers() {
        let places = SampleType::IP | SampleType::TID | SampleType::TIME | SampleType::CALLCHAIN;
        let expected = [
            (0x10, CpuMode::Kernel, AddressKind::Ip),
            (0x10, CpuMode::Kernel, AddressKind::Callchain),
            (0x20, CpuMode::User, AddressKind::Callchain),
        ];
        for endian in ORDERS {
            let bytes = record(RecordType::SAMPLE, &[0x10, 1, 2, 3, 0x10, USER, 0x20], endian);
            assert_eq!(walked(&format(places), &RawRecord::first(&bytes, 0, endian).unwrap()), expected);
            // A group of two values stands before the chain.
            let bytes = record(RecordType::SAMPLE, &[0x10, 1, 2, 2, 77, 88, 3, 0x10, USER, 0x20], endian);
            let format = format(places | SampleType::READ);
            assert_eq!(format.field_offsets(), None);
            assert_eq!(walked(&format, &RawRecord::first(&bytes, 0, endian).unwrap()), expected);
        }
    }

    #[test]
    fn a_sample_has_no_addresses_that_its_event_does_not_ask_for() {
        let bytes = record(RecordType::SAMPLE, &[1, 0x10], Endian::Big);
        let sample = RawRecord::first(&bytes, 0, Endian::Big).unwrap();
        let (own, chain) = (AddressKind::Ip, AddressKind::Callchain);
        assert_eq!(walked(&format(SampleType::TID), &sample), []);
        assert_eq!(walked(&format(SampleType::IP), &sample), [(1, CpuMode::Kernel, own)]);
        assert_eq!(walked(&format(SampleType::CALLCHAIN), &sample), [(0x10, CpuMode::Kernel, chain)]);
    }

    #[test]
    fn a_deferred_chain_is_the_users_and_other_records_have_no_addresses() {
        let format = format(SampleType::IP | SampleType::CALLCHAIN);
        for endian in ORDERS {
            let bytes = record(RecordType::CALLCHAIN_DEFERRED, &[0xc00c1e, 2, 0x20, 0x30, 7], endian);
            let deferred = RawRecord::first(&bytes, 0, endian).unwrap();
            let of_chain = |addr| (addr, CpuMode::User, AddressKind::Callchain);
            assert_eq!(walked(&format, &deferred), [of_chain(0x20), of_chain(0x30)]);
            let bytes = record(RecordType::LOST, &[1, 1, 0x10], endian);
            assert_eq!(walked(&format, &RawRecord::first(&bytes, 0, endian).unwrap()), []);
        }
    }

    #[test]
    fn a_walk_that_a_no_has_ended_goes_on_behind_it() {
        let bytes = record(RecordType::SAMPLE, &[1, 3, 2, USER, 3], Endian::Little);
        let sample = RawRecord::first(&bytes, 0, Endian::Little).unwrap();
        let mut addresses = format(SampleType::IP | SampleType::CALLCHAIN).addresses(&sample).unwrap();
        assert!(!addresses.all(|address| address.addr != 1));
        assert!(!addresses.all(|address| address.addr != 2));
        let last = Address { addr: 3, cpumode: CpuMode::User, kind: AddressKind::Callchain };
        assert_eq!(addresses.next(), Some(last));
        assert_eq!(addresses.next(), None);
    }

    #[test]
    fn no_address_is_given_of_a_record_that_its_chain_does_not_fit_in() {
        let format = format(SampleType::IP | SampleType::TID | SampleType::TIME | SampleType::CALLCHAIN);
        for endian in ORDERS {
            for count in [3, u64::from(u32::MAX), 1 << 61, u64::MAX] {
                let bytes = record(RecordType::SAMPLE, &[0x10, 1, 2, count, 0x10, 0x20], endian);
                let sample = RawRecord::first(&bytes, 0x40, endian).unwrap();
                let message = format.addresses(&sample).unwrap_err().to_string();
                let problem = format!("field callchain: a count of {count} does not fit");
                assert_eq!(message, format!("SAMPLE record at offset 0x40: {problem}"));
                assert!(format.field_offsets().unwrap().addresses(&sample).is_none());
                let bytes = record(RecordType::CALLCHAIN_DEFERRED, &[9, count, 0x20], endian);
                let deferred = RawRecord::first(&bytes, 0x40, endian).unwrap();
                assert!(matches!(format.addresses(&deferred), Err(Error::Malformed { offset: 0x40, .. })));
            }
            let bytes = record(RecordType::SAMPLE, &[], endian);
            let sample = RawRecord::first(&bytes, 0, endian).unwrap();
            assert!(format.field_offsets().unwrap().addresses(&sample).is_none());
        }
    }
}
