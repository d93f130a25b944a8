//! What gzip, xz and zstd packed, unpacked as a stream: whole, cut anywhere, damaged, one behind another, and from
//! sources that give little at a time or fail.

use std::io::{self, Read, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use perf_session::unpack::{Packing, UnpackFailure, Unpacked};

const PACKINGS: [Packing; 3] = [Packing::Gzip, Packing::Xz, Packing::Zstd];

/// Bytes that can be packed, but not to nothing, and everywhere as well as anywhere else.
fn bytes(len: usize) -> Vec<u8> {
    let words = (0_u32..).map(|n| (n ^ n >> 7).wrapping_mul(2_654_435_761).wrapping_mul(n | 1) >> 20);
    words.flat_map(u32::to_le_bytes).take(len).collect()
}

fn pack(packing: Packing, bytes: &[u8]) -> Vec<u8> {
    match packing {
        Packing::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).expect("memory");
            encoder.finish().expect("memory")
        }
        Packing::Xz => {
            let mut options = XzOptions::with_preset(1);
            options.block_size = std::num::NonZeroU64::new(1 << 16);
            let mut writer = XzWriter::new(Vec::new(), options).expect("memory");
            writer.write_all(bytes).expect("memory");
            writer.finish().expect("memory")
        }
        _ => {
            let mut packed = vec![0; zstd_safe::compress_bound(bytes.len())];
            let len = zstd_safe::compress(packed.as_mut_slice(), bytes, 1).expect("it fits");
            packed.truncate(len);
            packed
        }
    }
}

/// All that something unpacks to in reads of this size, and what ends it.
fn unpack(packing: Packing, source: impl Read, size: usize) -> (Vec<u8>, Option<UnpackFailure>) {
    let mut unpacked = Unpacked::new(packing, source);
    let (mut all, mut buf) = (Vec::new(), vec![0; size]);
    loop {
        match unpacked.read(&mut buf) {
            Ok(0) => return (all, None),
            Ok(read) => all.extend_from_slice(&buf[..read]),
            Err(failure) => {
                assert_eq!(unpacked.read(&mut buf).expect("it was said"), 0);
                return (all, Some(failure));
            }
        }
    }
}

/// A source that gives so many bytes at a time, and is interrupted between them.
struct Slow<'b>(&'b [u8], usize, bool);

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.2 = !self.2;
        if self.2 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = self.1.min(buf.len());
        self.0.read(&mut buf[..len])
    }
}

#[test]
fn the_first_bytes_tell_how_something_is_packed() {
    for packing in PACKINGS {
        let packed = pack(packing, b"some");
        assert_eq!(Packing::detect(&packed[..Packing::MAGIC_SIZE]), Some(packing));
        assert_eq!(Packing::detect(&packed[..1]), None);
    }
    for other in [&b"PERFILE2"[..], b"\x7fELF\x02\x01", b"", b"BZh91AY"] {
        assert_eq!(Packing::detect(other), None);
    }
}

#[test]
fn what_was_packed_comes_out_in_reads_of_any_size() {
    let bytes = bytes(300_000);
    for packing in PACKINGS {
        let packed = pack(packing, &bytes);
        assert!(packed.len() < bytes.len(), "{packing}");
        for (given, size) in [(usize::MAX, 1 << 20), (usize::MAX, 7), (1, 4096), (4096, 1), (13, 11)] {
            let (unpacked, failure) = unpack(packing, Slow(&packed, given, false), size);
            assert!(failure.is_none(), "{packing}: {failure:?}");
            assert!(unpacked == bytes, "{packing}: {given} at a time, in reads of {size}");
        }
    }
}

#[test]
fn several_behind_one_another_are_one() {
    let (one, two) = (bytes(70_000), b"two".to_vec());
    for packing in PACKINGS {
        let packed = [pack(packing, &one), pack(packing, b""), pack(packing, &two)].concat();
        let (unpacked, failure) = unpack(packing, &packed[..], 4096);
        assert!(failure.is_none(), "{packing}: {failure:?}");
        assert!(unpacked == [&one[..], &two].concat(), "{packing}");
    }
}

#[test]
fn of_what_is_cut_all_comes_out_that_can_be_and_then_the_cut_is_said() {
    let bytes = bytes(200_000);
    for packing in PACKINGS {
        let packed = pack(packing, &bytes);
        let mut last = 0;
        for cut in (1..packed.len()).step_by(501).chain([packed.len() - 1]) {
            let (unpacked, failure) = unpack(packing, &packed[..cut], 4096);
            assert!(matches!(failure, Some(UnpackFailure::Cut)), "{packing} cut at {cut}: {failure:?}");
            assert!(bytes.starts_with(&unpacked), "{packing} cut at {cut}");
            assert!(unpacked.len() >= last, "{packing} cut at {cut}");
            last = unpacked.len();
        }
        // Of zstd's blocks, of 128 KiB at the most, only whole ones come out; of the others, all but a little.
        let lost = if packing == Packing::Zstd { 1 << 17 } else { 1 << 12 };
        assert!(last + lost > bytes.len(), "{packing}: but for its last byte all was there, and {last} came");
        let half = unpack(packing, &packed[..packed.len() / 2], 4096).0.len();
        assert!(half + lost > bytes.len() / 2 * 9 / 10, "{packing}: {half}");
        // Behind a whole one too.
        let (unpacked, failure) = unpack(packing, &[&packed[..], &packed[..40]].concat()[..], 4096);
        assert!(matches!(failure, Some(UnpackFailure::Cut)), "{packing}: {failure:?}");
        assert!(unpacked.starts_with(&bytes), "{packing}");
    }
}

#[test]
fn damage_is_said_behind_what_was_whole() {
    let bytes = bytes(600_000);
    for packing in PACKINGS {
        let packed = pack(packing, &bytes);
        for at in [packed.len() / 4 * 3, packed.len() - 2] {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x55;
            let (unpacked, failure) = unpack(packing, &damaged[..], 4096);
            if packing == Packing::Zstd && failure.is_none() {
                // Its frames need not have checksums.
                continue;
            }
            let said = matches!(failure, Some(UnpackFailure::Damaged(_) | UnpackFailure::Cut));
            assert!(said, "{packing} at {at}: {failure:?}");
            // What it was damaged to may come out, too, before that shows.
            let same = bytes.iter().zip(&unpacked).take_while(|(a, b)| a == b).count();
            assert!(same > bytes.len() / 2, "{packing} at {at}: {same}");
        }
        let (unpacked, failure) = unpack(packing, &[&packed[..], b"what is that?"].concat()[..], 4096);
        assert!(matches!(failure, Some(UnpackFailure::Damaged(_))), "{packing}: {failure:?}");
        assert!(unpacked == bytes, "{packing}");
    }
}

#[test]
fn a_source_that_fails_is_no_damage() {
    struct Failing<'b>(&'b [u8]);
    impl Read for Failing<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(io::Error::other("the disk is gone")) } else { self.0.read(buf) }
        }
    }
    let bytes = bytes(200_000);
    for packing in PACKINGS {
        let packed = pack(packing, &bytes);
        let (unpacked, failure) = unpack(packing, Failing(&packed[..packed.len() / 2]), 4096);
        let Some(UnpackFailure::Source(error)) = failure else { panic!("{packing}: {failure:?}") };
        assert_eq!(error.to_string(), "the disk is gone");
        assert!(bytes.starts_with(&unpacked), "{packing}");
    }
}

#[test]
fn what_refers_too_far_back_is_refused_before_memory_is_had_for_it() {
    // A window of 256 MiB, and a block of one byte, many times.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0, (28 - 10) << 3, 3, 0, 0, 0];
    let (unpacked, failure) = unpack(Packing::Zstd, &zstd[..], 4096);
    assert!(matches!(failure, Some(UnpackFailure::FarBack)), "{failure:?}");
    assert!(unpacked.is_empty());
    let mut options = XzOptions::with_preset(1);
    options.lzma_options.dict_size = 96 << 20;
    let mut writer = XzWriter::new(Vec::new(), options).expect("memory");
    writer.write_all(b"some").expect("memory");
    let (_, failure) = unpack(Packing::Xz, &writer.finish().expect("memory")[..], 4096);
    assert!(matches!(failure, Some(UnpackFailure::FarBack)), "{failure:?}");
}
