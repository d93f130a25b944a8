//! Jitted code: what a runtime wrote down of the functions that it made, turned into what readers of a recording
//! know how to read.

mod image;

pub use image::{Function, Image, ImageError, Layout, Line, TEXT_OFFSET, Target, Unwinding, Written};
