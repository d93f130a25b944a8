//! Asks [debuginfod](https://sourceware.org/elfutils/Debuginfod.html) servers for files by their build-ids.
//!
//! A [`Client`] looks in the cache first, which is that of elfutils: what `debuginfod-find`, gdb or perf have fetched is
//! found, and they find what is fetched here. Then it asks one server after the other. Servers are not trusted: time, size
//! and redirects are bounded, the caller's check says of each file whether it is the one that was asked for, and a file
//! enters the cache whole or not at all.
//!
//! Nothing is read from the environment, but for proxies where [`ClientConfig::proxies_of_environment`] says so: what
//! variables mean to elfutils' client stands at the fields of [`ClientConfig`].
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod cache;
mod client;
mod config;
mod download;
mod error;
mod limits;
mod server;

pub use client::{Client, FetchSource, Fetched};
pub use config::{ArtifactKind, ClientConfig};
pub use error::{FetchError, ServerError, ServerFault};
pub use server::{Server, parse_servers};

/// The example of the README, to see that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
