//! For property tests, here and in other crates: made-up recordings, ways to read them, and how many cases are tried.

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

use crate::Endian;

pub mod scenario;

/// How a file of property tests is run: so many cases each, or as many as `PROPTEST_CASES` says. What fails is kept in
/// the crate's folder `proptest-regressions`, in a file of this name, and tried first from then on.
#[must_use]
pub fn config(cases: u32, name: &str) -> Config {
    let from_environment = Config::default();
    let is_told = std::env::var_os("PROPTEST_CASES").is_some();
    // Tests run in the folder of their crate. The name is kept for as long as the test runs.
    let path = format!("proptest-regressions/{name}.txt").leak();
    Config {
        cases: if is_told { from_environment.cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(path))),
        ..from_environment
    }
}

/// Either byte order.
pub fn endian() -> impl Strategy<Value = Endian> {
    prop_oneof![Just(Endian::Little), Just(Endian::Big)]
}

/// Ways to cut a stream into reads, for [`Pieces`](crate::testing::Pieces): tiny, odd, around the size of a record, whole.
pub fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..9, 20usize..200, Just(1 << 20)], 1..6)
}
