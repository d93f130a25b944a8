//! Real situations that hold a promise: `inject -b` gives a DSO an id only if the file that is here is proven to be the
//! mapped one, and then it does give it.

#[path = "evidence/alive.rs"]
mod alive;
#[path = "evidence/builds.rs"]
mod builds;
mod common;
#[path = "evidence/containers.rs"]
mod containers;
#[path = "evidence/machine.rs"]
mod machine;
#[path = "evidence/mounts.rs"]
mod mounts;
#[path = "evidence/replaced.rs"]
mod replaced;
#[path = "evidence/same.rs"]
mod same;
#[path = "evidence/scene.rs"]
mod scene;
