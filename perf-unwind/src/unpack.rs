//! Sections that are compressed (`SHF_COMPRESSED`).

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use crate::limits::UNPACKED_AT_MOST;

/// How a section is compressed, and its size as its header has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) is_zstd: bool,
    pub(crate) size: u64,
}

/// Unpacks a section. `None` where it is damaged, larger than any, or not of the size that was announced.
pub(crate) fn unpack(bytes: &[u8], packed: Packed) -> Option<Vec<u8>> {
    if packed.size > UNPACKED_AT_MOST {
        return None;
    }
    let unpacked = if packed.is_zstd { zstd(bytes, packed.size)? } else { zlib(bytes, packed.size)? };
    (unpacked.len() as u64 == packed.size).then_some(unpacked)
}

fn zlib(bytes: &[u8], size: u64) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    ZlibDecoder::new(bytes).take(size).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

/// Grows as bytes come, since the size is whatever the file says.
#[cfg(feature = "zstd")]
fn zstd(bytes: &[u8], size: u64) -> Option<Vec<u8>> {
    use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};
    let mut context = DCtx::create();
    context.set_parameter(DParameter::WindowLogMax(crate::limits::ZSTD_WINDOW_LOG_AT_MOST)).ok()?;
    let mut input = InBuffer::around(bytes);
    let (mut unpacked, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    while (unpacked.len() as u64) < size {
        let before = input.pos();
        let mut output = OutBuffer::around(&mut piece[..]);
        context.decompress_stream(&mut output, &mut input).ok()?;
        if output.pos() == 0 && input.pos() == before {
            break;
        }
        unpacked.extend_from_slice(output.as_slice());
    }
    Some(unpacked)
}

#[cfg(not(feature = "zstd"))]
fn zstd(_: &[u8], _: u64) -> Option<Vec<u8>> {
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn zlibbed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_out_and_only_with_its_size() {
        let bytes = vec![7; 100_000];
        let packed = zlibbed(&bytes);
        assert_eq!(unpack(&packed, Packed { is_zstd: false, size: 100_000 }), Some(bytes));
        assert_eq!(unpack(&packed, Packed { is_zstd: false, size: 100_001 }), None);
        assert_eq!(unpack(&packed, Packed { is_zstd: false, size: u64::MAX }), None);
        assert_eq!(unpack(&packed[..packed.len() / 2], Packed { is_zstd: false, size: 100_000 }), None);
    }

    #[test]
    #[cfg(feature = "zstd")]
    fn zstd_is_unpacked_as_zlib_is() {
        let bytes = vec![7; 200_000];
        let mut packed = vec![0; 4096];
        let len = zstd_safe::compress(&mut packed[..], &bytes, 3).unwrap();
        assert_eq!(unpack(&packed[..len], Packed { is_zstd: true, size: 200_000 }), Some(bytes));
        assert_eq!(unpack(&packed[..len - 1], Packed { is_zstd: true, size: 200_000 }), None);
        assert_eq!(unpack(&[1; 40], Packed { is_zstd: true, size: 40 }), None);
    }
}
