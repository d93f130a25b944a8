//! An id of this machine is given only if a simple model says that the file is the mapped one: recordings of random
//! origin, of files that were replaced in random ways, on a real file system.

use std::fs;
use std::fs::File;
use std::time::{Duration, SystemTime};

use perf_format::BuildId;
use perf_format::record::Inode;
use perf_session::Recording;
use perf_session::build_id::{BuildIdCache, BuildIdSource, FileSource, KernelSource, NoBuildId, VdsoSource};
use perf_session::dso::{Dso, DsoKind, MappedBy};
use perf_session::evidence::{Evidence, EvidenceConfig, FileFacts, Mismatch, Unproven};
use perf_session::machine::HOST;
use perf_session::testing::{Elf, recorded_here, wall_time};
use proptest::prelude::*;

/// Where a recording says that it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    ThisBoot,
    /// On this machine, at a time that tallies with nothing.
    SomeBoot,
    OtherHost,
    OtherRelease,
    OtherArch,
    Unknown,
}

/// How the recorded file differs from the one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    Nothing,
    Device,
    Ino,
    Generation,
    /// The file was mapped at another offset.
    Offset,
    /// More of it was mapped than there is.
    Length,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    origin: Origin,
    differs: Differs,
    /// Whether the map tells the generation of the inode, as those that the kernel records itself do.
    tells_generation: bool,
    /// How long after the file was last changed it was mapped, in ms.
    mapped_after: i64,
    allow_changed: bool,
}

fn case() -> impl Strategy<Value = Case> {
    use Differs::{Device, Generation, Ino, Length, Nothing, Offset};
    use Origin::{OtherArch, OtherHost, OtherRelease, SomeBoot, ThisBoot, Unknown};
    let origin = prop_oneof![
        4 => Just(ThisBoot),
        1 => prop::sample::select(vec![SomeBoot, OtherHost, OtherRelease, OtherArch, Unknown])
    ];
    let differs = prop_oneof![
        4 => Just(Nothing),
        1 => prop::sample::select(vec![Device, Ino, Generation, Offset, Length])
    ];
    let after = prop_oneof![Just(5), Just(60_000), -60_000_i64..60_000];
    (origin, differs, any::<bool>(), after, prop::bool::weighted(0.1)).prop_map(
        |(origin, differs, tells_generation, mapped_after, allow_changed)| Case {
            origin,
            differs,
            tells_generation,
            mapped_after,
            allow_changed,
        },
    )
}

/// Whether the file is the mapped one, as far as anybody can know.
fn model(case: &Case, facts: &FileFacts) -> bool {
    let knows_generation =
        case.tells_generation && facts.generation.is_some_and(|generation| generation != 0);
    let same_file = match case.differs {
        Differs::Nothing => true,
        Differs::Generation => !knows_generation,
        Differs::Device | Differs::Ino | Differs::Offset | Differs::Length => false,
    };
    let same_inode_for_sure = knows_generation && case.differs == Differs::Nothing;
    let unchanged = match case.mapped_after {
        // The clock that dates files ticks every 10 ms at the slowest.
        10.. => true,
        0..10 => same_inode_for_sure,
        _ => false,
    };
    let known_origin = match case.origin {
        Origin::ThisBoot => unchanged,
        // When it was mapped is not known, only that it is over.
        Origin::SomeBoot => same_inode_for_sure && case.mapped_after >= 0,
        Origin::OtherHost | Origin::OtherRelease | Origin::OtherArch | Origin::Unknown => false,
    };
    same_file && known_origin
}

const ID: [u8; 20] = [7; 20];

/// The evidence and the recording of a case; `mapped` is when its file was mapped.
fn recording(case: &Case, mapped: SystemTime) -> (EvidenceConfig, Recording) {
    let (evidence, mut recording) = recorded_here(mapped);
    match case.origin {
        Origin::ThisBoot => {}
        Origin::SomeBoot => {
            recording.times = perf_session::Times::default();
            // A tenth of a second after boot, says a clock that began anew.
            recording.times.note(100_000_000);
        }
        Origin::OtherHost => recording.hostname = Some("elsewhere".into()),
        Origin::OtherRelease => recording.release = Some("2.6.32".into()),
        Origin::OtherArch => recording.arch = Some("s390x".into()),
        Origin::Unknown => recording = Recording::default(),
    }
    (EvidenceConfig { allow_changed: case.allow_changed, ..evidence }, recording)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn an_id_is_given_only_if_the_file_is_the_mapped_one(case in case()) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("program");
        fs::write(&path, Elf::with_build_id(&ID).bytes()).expect("written");
        let facts = FileFacts::of(&File::open(&path).expect("there")).expect("it answers");
        let changed = Duration::from_nanos(u64::try_from(facts.changed).expect("after 1970"));
        let after = Duration::from_millis(case.mapped_after.unsigned_abs());
        let changed = SystemTime::UNIX_EPOCH + changed;
        let mapped = if case.mapped_after < 0 { changed - after } else { changed + after };
        let (evidence, recording) = recording(&case, mapped);

        let (maj, min) = facts.device;
        let generation = if case.tells_generation { facts.generation.unwrap_or(0) } else { 0 };
        let mut inode = Inode { maj, min, ino: facts.ino, ino_generation: generation.into() };
        let mut by = MappedBy { pid: -7, start: 0x10_0000, end: 0x10_1000, pgoff: 0, is_exec: true, root: None };
        match case.differs {
            Differs::Device => inode.min += 1,
            Differs::Ino => inode.ino += 1,
            Differs::Generation if generation != 0 => inode.ino_generation = u64::from(generation ^ 1),
            Differs::Generation | Differs::Nothing => {}
            Differs::Offset => by.pgoff = 0x1000,
            Differs::Length => by.end += 0x1000,
        }
        let dso = Dso {
            inode: Some(inode),
            mapped_by: Some(by),
            mapped_at: Some(if case.origin == Origin::SomeBoot { 100_000_000 } else { wall_time(mapped) }),
            ..Dso::new(HOST, DsoKind::File, path.to_str().expect("text").into())
        };
        let mut source = FileSource::new(Evidence::new(evidence), BuildIdCache::default());
        let found = source.build_id(&dso, &recording);
        let is_given = matches!(&found, Ok(Some(found)) if found.build_id == BuildId::new(&ID).expect("an id"));
        let expected = case.allow_changed || model(&case, &facts);
        prop_assert_eq!(is_given, expected, "{:?} {:?}", found, facts);
    }

    #[test]
    fn the_kernel_and_its_vdso_are_given_only_in_this_boot(case in case()) {
        let (evidence, recording) = recording(&case, SystemTime::now());
        let evidence = Evidence::new(evidence);
        let expected = case.allow_changed || case.origin == Origin::ThisBoot;
        let kernel = Dso::new(HOST, DsoKind::Kernel, "[kernel.kallsyms]".into());
        let vdso = Dso::new(HOST, DsoKind::Vdso, "[vdso]".into());
        let found = [
            KernelSource::new(evidence.clone()).build_id(&kernel, &recording),
            VdsoSource::new(evidence).build_id(&vdso, &recording),
        ];
        for found in found {
            prop_assert_eq!(matches!(found, Ok(Some(_))), expected, "{:?}", found);
            let refused_rightly = expected || matches!(found, Err(NoBuildId::NotHere(_)));
            prop_assert!(refused_rightly);
        }
    }
}

#[test]
fn a_file_is_refused_where_strictness_asks_for_proof() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("program");
    fs::write(&path, Elf::with_build_id(&ID).bytes()).expect("written");
    let mapped = SystemTime::now() + Duration::from_secs(60);
    // A record without an inode, as old kernels write them.
    let dso = Dso {
        mapped_by: Some(MappedBy { pid: -7, start: 0, end: 0x1000, pgoff: 0, is_exec: true, root: None }),
        mapped_at: Some(wall_time(mapped)),
        ..Dso::new(HOST, DsoKind::File, path.to_str().expect("text").into())
    };
    let find = |strict| {
        let (evidence, recording) = recorded_here(mapped);
        let evidence = Evidence::new(EvidenceConfig { strict, ..evidence });
        FileSource::new(evidence, BuildIdCache::default()).build_id(&dso, &recording)
    };
    assert!(matches!(find(false), Ok(Some(found)) if found.unproven.is_some()));
    assert!(matches!(find(true), Err(NoBuildId::Changed(Mismatch::Unproven(_)))));
}

#[test]
fn a_file_that_got_another_name_since_is_not_proven_and_one_that_was_written_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("program");
    fs::write(&path, Elf::with_build_id(&ID).bytes()).expect("written");
    let written = SystemTime::now() - Duration::from_secs(3600);
    let mapped = written + Duration::from_secs(60);
    let find = |strict| {
        let facts = FileFacts::of(&File::open(&path).expect("there")).expect("it answers");
        let (maj, min) = facts.device;
        let generation = facts.generation.unwrap_or(0).into();
        let dso = Dso {
            inode: Some(Inode { maj, min, ino: facts.ino, ino_generation: generation }),
            mapped_by: Some(MappedBy { pid: -7, start: 0, end: 0x1000, pgoff: 0, is_exec: true, root: None }),
            mapped_at: Some(wall_time(mapped)),
            ..Dso::new(HOST, DsoKind::File, path.to_str().expect("text").into())
        };
        let (evidence, recording) = recorded_here(mapped);
        let evidence = Evidence::new(EvidenceConfig { strict, ..evidence });
        FileSource::new(evidence, BuildIdCache::default()).build_id(&dso, &recording)
    };
    let date_back =
        || File::options().write(true).open(&path).expect("there").set_modified(written).expect("set");
    // Its contents are dated back, which is all that `cp -p` over it would leave.
    date_back();
    assert!(matches!(find(false), Err(NoBuildId::Changed(Mismatch::Younger))));
    fs::hard_link(&path, dir.path().join("in perf's cache")).expect("linked");
    let found = find(false).expect("no error").expect("found");
    assert_eq!(found.unproven, Some(Unproven::Linked));
    assert!(matches!(find(true), Err(NoBuildId::Changed(Mismatch::Unproven(Unproven::Linked)))));
    // Written after it was mapped, it is another, whatever names it has.
    fs::write(&path, Elf::with_build_id(&[9; 20]).bytes()).expect("written");
    assert!(matches!(find(false), Err(NoBuildId::Changed(Mismatch::Younger))));
}
