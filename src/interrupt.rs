//! Interrupts. While a pipe is read, the producer gets the same Ctrl-C and still has its last buffers to write, so
//! the first one only means that the end is near. While a file is read, it ends the reading, and what was begun is
//! cleared away. The second ends the program as any other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// From here on the first SIGINT or SIGTERM sets the flag that is returned, and the second kills.
///
/// # Errors
/// Where the handlers cannot be set.
pub(crate) fn noted() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds the flag that the first one set.
        flag::register_conditional_default(signal, Arc::clone(&interrupted))?;
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    limits_are_errors()?;
    Ok(interrupted)
}

/// From here on a file that may not grow on is an error of the write that would let it, and no end of the program.
///
/// # Errors
/// Where the handler cannot be set.
pub(crate) fn limits_are_errors() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}
