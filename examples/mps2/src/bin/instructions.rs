//! Measures SHA-256 and the verification of a signature, as the firmware compiles them, and ends the emulator. QEMU runs it with
//! `-icount shift=10`: then an instruction takes 1,024 ns of the board's time, whatever the host does, and `tests/size/run`
//! computes instructions from the microseconds that this program prints.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_semihosting::debug;
use mps2::board::{clock, console};
use ota_cortex_m::number::Number;
use ota_pal::{Digest, KeySet, SignatureKind, Verifier};
use sha2::{Digest as _, Sha256};

/// What is hashed.
static BYTES: [u8; 64 << 10] = [0x5A; 64 << 10];

/// The key of the example in RFC 6979, A.2.5, as DER.
const KEY: [u8; 91] = digits(
    b"3059301306072a8648ce3d020106082a8648ce3d03010703420004\
      60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
      7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
);
/// The signature there over the SHA-256 of [`MESSAGE`], as DER.
const SIGNATURE: [u8; 72] = digits(
    b"3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
      022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
);
const MESSAGE: &[u8] = b"sample";

#[cortex_m_rt::entry]
fn main() -> ! {
    console::start();
    clock::start();
    let hashed = measure(|| Sha256::digest(black_box(&BYTES)));
    report(b"sha256 64 KiB ", hashed);
    let Ok(keys) = KeySet::single("example", &KEY) else { end(debug::EXIT_FAILURE) };
    let digest = Digest(Sha256::digest(MESSAGE).into());
    let (mut verified, kind) = (Ok(()), SignatureKind::Sha256Ecdsa);
    let verifying = measure(|| verified = keys.verify(None, kind, black_box(&digest), black_box(&SIGNATURE), 0));
    report(b"ecdsa p256 ", verifying);
    end(if verified.is_ok() { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE })
}

/// The time that `work` takes. Unit: microseconds.
fn measure<T>(work: impl FnOnce() -> T) -> u32 {
    let begun = embassy_time_driver::now();
    black_box(work());
    (embassy_time_driver::now() - begun) as u32 // the clock runs for less than a minute
}

fn report(what: &[u8], us: u32) {
    console::boot(&[what, Number::decimal(us).bytes(), b" us"]);
}

/// Ends the emulator.
fn end(status: debug::ExitStatus) -> ! {
    debug::exit(status);
    loop {
        core::hint::spin_loop();
    }
}

/// The bytes of hexadecimal digits.
const fn digits<const DIGITS: usize, const BYTES: usize>(text: &[u8; DIGITS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let mut at = 0;
    while at < DIGITS {
        let digit = match text[at] {
            number @ b'0'..=b'9' => number - b'0',
            letter => letter - b'a' + 10,
        };
        bytes[at / 2] = bytes[at / 2] << 4 | digit;
        at += 1;
    }
    bytes
}
