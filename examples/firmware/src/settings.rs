//! What the factory writes to each device: lines of a name and a value, as `host=10.0.2.2`, in a sector of their own that ends with
//! erased bytes.

use core::str;

use ota_pal::Region;
use ota_pal::blocking::Flash;

/// The most bytes of all lines.
pub const BYTES_MAX: usize = 4096;
/// The largest block, which the buffers of the firmware hold.
pub const BLOCK_BYTES_MAX: u32 = 4096;

/// The settings of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'s> {
    /// Name of the thing, and MQTT client id.
    pub thing: &'s str,
    /// Host name or address of the broker, and of the server of images.
    pub host: &'s str,
    /// Port of the broker.
    pub port: u16,
    /// Whether an image is downloaded over HTTP if a job offers both.
    pub prefer_http: bool,
    /// Bytes of a block, at most [`BLOCK_BYTES_MAX`], which is the default.
    pub block_bytes: u32,
    /// Signature of the factory image, in hexadecimal digits; empty if there is none.
    pub factory_signature: &'s str,
    /// The CA that the server's certificate must end in, in hexadecimal digits of its DER.
    pub ca: &'s str,
    /// The device's own certificate, likewise.
    pub certificate: &'s str,
    /// Its key in PKCS #8, likewise.
    pub key: &'s str,
    /// Name of the wireless network of a board with a radio; empty without.
    pub ssid: &'s str,
    /// Its passphrase; empty if the network has none.
    pub passphrase: &'s str,
}

impl<'s> Settings<'s> {
    /// Reads the lines in `region` to `buffer`; `None` if one is missing or not as above.
    pub fn read(flash: &mut impl Flash, region: Region, buffer: &'s mut [u8; BYTES_MAX]) -> Option<Self> {
        flash.read(region.offset_bytes(), buffer).ok()?;
        let len = buffer.iter().position(|byte| *byte == 0xFF)?;
        Self::parse(str::from_utf8(&buffer[..len]).ok()?)
    }

    fn parse(text: &'s str) -> Option<Self> {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            thing: value("thing")?,
            host: value("host")?,
            port: value("port")?.parse().ok()?,
            prefer_http: value("prefer-http") == Some("yes"),
            block_bytes: value("block-bytes").map_or(Some(BLOCK_BYTES_MAX), block_bytes)?,
            factory_signature: value("factory-signature").unwrap_or_default(),
            ca: value("ca")?,
            certificate: value("certificate")?,
            key: value("key")?,
            ssid: value("ssid").unwrap_or_default(),
            passphrase: value("passphrase").unwrap_or_default(),
        })
    }
}

fn block_bytes(digits: &str) -> Option<u32> {
    digits.parse().ok().filter(|bytes| *bytes <= BLOCK_BYTES_MAX)
}

/// Reads hexadecimal digits; `None` if there are other characters, or more digits than `out` has room for.
pub fn hexadecimal<'o>(text: &str, out: &'o mut [u8]) -> Option<&'o [u8]> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let out = out.get_mut(..text.len() / 2)?;
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    const LINES: &str = "thing=lamp\nhost=10.0.2.2\nport=8883\nca=30\ncertificate=31\nkey=32\nprefer-http=yes\n";

    #[test]
    fn lines_are_read_in_any_order_and_others_are_passed_over() {
        let lamp = Settings {
            thing: "lamp",
            host: "10.0.2.2",
            port: 8883,
            prefer_http: true,
            block_bytes: BLOCK_BYTES_MAX,
            factory_signature: "",
            ca: "30",
            certificate: "31",
            key: "32",
            ssid: "",
            passphrase: "",
        };
        assert_eq!(Settings::parse(LINES), Some(lamp));
        let signed = format!("new=1\nfactory-signature=3045\n{LINES}");
        assert_eq!(Settings::parse(&signed), Some(Settings { factory_signature: "3045", ..lamp }));
        let wireless = format!("ssid=Hall 2\npassphrase=a=b c\n{LINES}");
        assert_eq!(Settings::parse(&wireless), Some(Settings { ssid: "Hall 2", passphrase: "a=b c", ..lamp }));
        let smaller = format!("block-bytes=1024\n{LINES}");
        assert_eq!(Settings::parse(&smaller), Some(Settings { block_bytes: 1024, ..lamp }));
        for missing in ["thing", "host", "port", "ca", "certificate", "key"] {
            assert_eq!(Settings::parse(&LINES.replace(&format!("{missing}="), "x=")), None, "{missing}");
        }
        assert_eq!(Settings::parse(&LINES.replace("8883", "mqtt")), None);
        for refused in ["4097", "-1", "", "1 kB"] {
            assert_eq!(Settings::parse(&format!("block-bytes={refused}\n{LINES}")), None, "{refused}");
        }
    }

    #[test]
    fn digits_are_read_and_others_refused() {
        let mut room = [0; 2];
        assert_eq!(hexadecimal("30ff", &mut room), Some(&[0x30, 0xFF][..]));
        assert_eq!(hexadecimal("", &mut room), Some(&[][..]));
        for bad in ["3", "3g", "304550", "\u{e9}"] {
            assert_eq!(hexadecimal(bad, &mut room), None, "{bad}");
        }
    }
}
