//! Runs of the pipeline over streams in memory.

use std::io::Read;

use perf_format::PipeStream;

use crate::{Error, Passed, Pipeline, Repipe, Session, Tool};

/// What came out of a run of the pipeline, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    /// The output.
    pub out: Vec<u8>,
    /// The error that it ended with.
    pub error: Option<String>,
    /// What it counted.
    pub passed: Passed,
}

/// Runs the pipeline over a stream with these tools.
pub fn process(source: impl Read, tools: &mut [&mut dyn Tool]) -> Ran {
    let mut out = Vec::new();
    let mut passed = Passed::default();
    let result = PipeStream::open(source).map_err(Error::from).and_then(|stream| {
        let mut records = stream.records();
        Pipeline::new(tools).run(&mut records, &mut Session::new(), Repipe::To(&mut out), &mut passed)
    });
    Ran { out, error: result.err().map(|error| format!("{error}")), passed }
}
