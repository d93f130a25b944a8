//! Call chains: addresses, and between them markers of the mode of the addresses that follow.

use crate::codec::Array;
use crate::record::CpuMode;

/// Markers are the values from -4095 up (`PERF_CONTEXT_MAX`); no address is that high.
const CONTEXT_MAX: u64 = 4095_u64.wrapping_neg();

/// `PERF_CONTEXT_USER_DEFERRED`: the next entry is a cookie, not an address.
const USER_DEFERRED: u64 = 640_u64.wrapping_neg();

/// An address of a call chain and the mode it was executed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The address.
    pub ip: u64,
    /// Whose it is.
    pub cpumode: CpuMode,
}

/// The mode that the markers of a chain have set so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    cpumode: CpuMode,
    cookie_follows: bool,
}

impl Context {
    /// Before the first marker the sample's own mode holds.
    #[inline]
    pub(super) fn new(cpumode: CpuMode) -> Self {
        Self { cpumode, cookie_follows: false }
    }

    /// The address that the next word of the chain is; `None` where it is a marker or a cookie.
    #[inline]
    pub(super) fn frame(&mut self, word: u64) -> Option<Frame> {
        if std::mem::take(&mut self.cookie_follows) {
            return None;
        }
        if word < CONTEXT_MAX {
            return Some(Frame { ip: word, cpumode: self.cpumode });
        }
        self.cpumode = match word.wrapping_neg() {
            32 => CpuMode::Hypervisor,
            128 => CpuMode::Kernel,
            512 | 640 => CpuMode::User,
            2176 => CpuMode::GuestKernel,
            2560 => CpuMode::GuestUser,
            _ => CpuMode::Unknown,
        };
        self.cookie_follows = word == USER_DEFERRED;
        None
    }
}

/// The addresses of a chain, innermost first. `cpumode` is the sample's own, which holds until the first marker
/// (`enum perf_callchain_context`).
pub fn frames(chain: Array<'_, u64>, cpumode: CpuMode) -> impl Iterator<Item = Frame> {
    frames_of(chain.iter(), cpumode)
}

/// The addresses of a chain that is given as its words, as [`frames`] has them.
#[inline]
pub fn frames_of(words: impl Iterator<Item = u64>, cpumode: CpuMode) -> impl Iterator<Item = Frame> {
    let mut context = Context::new(cpumode);
    words.filter_map(move |word| context.frame(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endian;

    fn seen(chain: &[u64], cpumode: CpuMode) -> Vec<(u64, CpuMode)> {
        let bytes: Vec<u8> = chain.iter().flat_map(|ip| ip.to_le_bytes()).collect();
        frames(Array::new(&bytes, Endian::Little), cpumode).map(|frame| (frame.ip, frame.cpumode)).collect()
    }

    #[test]
    fn markers_switch_the_mode_and_are_no_addresses() {
        let (kernel, user) = (128_u64.wrapping_neg(), 512_u64.wrapping_neg());
        let chain = [1, kernel, 2, 3, user, 4, 2560_u64.wrapping_neg(), 5, 2048_u64.wrapping_neg(), 6];
        let expected = [
            (1, CpuMode::User),
            (2, CpuMode::Kernel),
            (3, CpuMode::Kernel),
            (4, CpuMode::User),
            (5, CpuMode::GuestUser),
            (6, CpuMode::Unknown),
        ];
        assert_eq!(seen(&chain, CpuMode::User), expected);
    }

    #[test]
    fn the_cookie_of_a_deferred_chain_is_no_address() {
        let chain = [128_u64.wrapping_neg(), 7, USER_DEFERRED, 0xc00c1e, 8];
        assert_eq!(seen(&chain, CpuMode::Kernel), [(7, CpuMode::Kernel), (8, CpuMode::User)]);
        assert_eq!(seen(&[USER_DEFERRED], CpuMode::Kernel), []);
    }
}
