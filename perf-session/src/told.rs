//! Runs of samples of which all was told: nearly all of a stream, and so the loop that decides how fast it passes.

use perf_format::codec::Array;
use perf_format::sample::{Places, frames};
use perf_format::{CpuMode, Endian, RecordHeader, RecordType};

use crate::hits::Via;
use crate::machine::Space;
use crate::pages::Pages;
use crate::tool::PassedOver;

/// Passes over samples as long as all that they hit was told in this round and no map of theirs has changed since.
/// What they asked for is noted.
pub(crate) fn pass_over(records: &[u8], endian: Endian, places: Places, pages: &mut Pages) -> PassedOver {
    let mut over = PassedOver::default();
    while let Some(rest) = records.get(over.bytes..)
        && let Some(head) = rest.first_chunk()
    {
        let header = RecordHeader::from_bytes(*head, endian);
        let Some(record) = rest.get(..header.size.into()) else { break };
        if header.record_type != RecordType::SAMPLE || !is_told(record, header, endian, places, pages) {
            break;
        }
        over.bytes += record.len();
        over.samples += 1;
    }
    over
}

/// Whether all of a sample was told. One that is not what it says is not.
#[inline]
fn is_told(record: &[u8], header: RecordHeader, endian: Endian, places: Places, pages: &mut Pages) -> bool {
    let (Some(ip), Some(pid), Some(time)) = (
        endian.u64_at(record, places.ip),
        endian.u32_at(record, places.tid),
        endian.u64_at(record, places.time),
    ) else {
        return false;
    };
    let mut is_told = |addr, cpumode, via| {
        let space = match cpumode {
            CpuMode::Kernel => Space::Kernel,
            CpuMode::User => Space::Process(pid.cast_signed()),
            // Of a mode that has no maps there is nothing to tell; guests are looked up.
            CpuMode::Unknown | CpuMode::Hypervisor => return true,
            CpuMode::GuestKernel | CpuMode::GuestUser => return false,
        };
        pages.is_told(space, addr, time, via)
    };
    let cpumode = header.misc.cpumode();
    if !is_told(ip, cpumode, Via::Ip) {
        return false;
    }
    let Some(at) = places.callchain else { return true };
    let chain = endian.u64_at(record, at).and_then(|count| {
        let len = usize::try_from(count).ok()?.checked_mul(8)?;
        record.get(at + 8..)?.get(..len)
    });
    let Some(chain) = chain else { return false };
    frames(Array::new(chain, endian), cpumode).all(|frame| is_told(frame.ip, frame.cpumode, Via::Callchain))
}
