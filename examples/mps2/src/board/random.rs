//! Random numbers of the host, by semihosting: the emulated board has no generator. On a chip, its own takes this place.

use cortex_m_semihosting::{nr, syscall};

const PATH: &[u8] = b"/dev/urandom\0";
const READ_BINARY: usize = 1;

/// Random bytes; `None` if the host gives none.
pub fn seed<const N: usize>() -> Option<[u8; N]> {
    let mut seed = [0; N];
    // SAFETY: the arguments are those of the call, and outlive it.
    let file = unsafe { syscall(nr::OPEN, &[PATH.as_ptr() as usize, READ_BINARY, PATH.len() - 1]) };
    if file == usize::MAX {
        return None;
    }
    // SAFETY: as above; the host writes at most `N` bytes to `seed`.
    let missing = unsafe { syscall(nr::READ, &[file, seed.as_mut_ptr() as usize, N]) };
    // SAFETY: as above.
    unsafe { syscall(nr::CLOSE, &[file]) };
    (missing == 0).then_some(seed)
}
