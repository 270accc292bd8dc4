//! What a build is: its version, its key, its date, taken from environment variables of the compiler that `examples/mps2/build` sets.

use crate::controller::Verdict;
use crate::tls::Date;

/// What a build is.
pub struct Build<'k> {
    /// Hardware id, as in `ota sign --hardware`.
    pub hardware: &'k str,
    /// Version, as in `ota sign --version`.
    pub version: &'k str,
    /// How its self-test ends.
    pub verdict: Verdict,
    /// The key that images are signed with.
    pub public_key: &'k [u8],
    /// The date, for the server's certificate: of a clock, or else of the build.
    pub date: fn() -> Date,
}

/// The [`Build`] of a program for a board without a clock, whose hardware id is the argument. Certificates of servers must be valid
/// when it was built, or later.
///
/// Environment variables of the compiler:
/// * `OTA_DEVICE_KEY`: the file `public.der` of `ota keygen`, as an absolute path; required.
/// * `OTA_DEVICE_DATE`: when it is built, in seconds since 1970; required.
/// * `OTA_DEVICE_VERSION`: by default that of the package.
/// * `OTA_DEVICE_SELF_TEST`: how the self-test ends: `pass` (default), `fail` or `hang`.
#[macro_export]
macro_rules! build {
    ($hardware:expr) => {{
        const BUILT_S: u64 = match u64::from_str_radix(env!("OTA_DEVICE_DATE", "seconds since 1970: see `build`"), 10) {
            Ok(date_s) => date_s,
            Err(_) => panic!("OTA_DEVICE_DATE is no number of seconds"),
        };
        $crate::Build {
            hardware: $hardware,
            version: $crate::version!(),
            verdict: match option_env!("OTA_DEVICE_SELF_TEST") {
                Some("hang") => $crate::Verdict::Hang,
                Some("fail") => $crate::Verdict::Fail,
                _ => $crate::Verdict::Pass,
            },
            public_key: include_bytes!(env!("OTA_DEVICE_KEY", "the path of public.der, absolute: see `build`")),
            date: || $crate::tls::Date::AtLeast(BUILT_S),
        }
    }};
}

/// The version of a program, a constant: see [`build!`].
#[macro_export]
macro_rules! version {
    () => {
        match option_env!("OTA_DEVICE_VERSION") {
            Some(version) => version,
            None => env!("CARGO_PKG_VERSION"),
        }
    };
}
