//! For tests, here and in other crates: ELF files with notes, runs of the pipeline, a tool that injects an id for each
//! DSO that is hit, maps of
//! running processes, and what proves that a recording was made here.

mod elf;
mod hit_ids;
mod mapped;
mod recorded;
mod run;

pub use elf::{BUILD_ID, Elf};
pub use hit_ids::{HitIds, Named, id_of};
pub use mapped::wait_for_map;
pub use recorded::{StoppedClocks, recorded_here, trusting, wall_time};
pub use run::{Ran, process};
