//! The native image header: the first bytes of every native image. It is covered by the signature and therefore
//! authoritative; a job document only routes. `accept` decides whether a device accepts the image. No flash access
//! here.

use crate::bytes::{put, take, u16_at, u32_at};
use crate::crc::crc32;
use crate::image::hardware::{HARDWARE_ID_BYTES, HardwareId, HardwareIdInvalid};
use crate::image::slot::SlotId;
use crate::image::version::{MajorMinor, Version};
use crate::print::print_by_name;

/// Length of an emitted header.
pub const HEADER_BYTES: usize = 64;

/// Default start of the body in bytes: the alignment of a vector table of 128 entries. A longer table needs another start.
pub const BODY_OFFSET_DEFAULT_BYTES: u32 = 512;

const MAGIC: [u8; 4] = [0x9F, b'O', b'T', b'A'];
const FORMAT: u16 = 1;

// Offsets; numbers are little endian.
const AT_FORMAT: usize = 4;
const AT_COMPONENT: usize = 6;
const AT_LINK: usize = 7;
const AT_HARDWARE: usize = 8;
const AT_VERSION: usize = 24;
const AT_SECURITY_COUNTER: usize = 32;
const AT_LOAD_ADDRESS: usize = 36;
const AT_BODY_OFFSET: usize = 40;
const AT_BODY_LEN: usize = 44;
const AT_RELEASE: usize = 48;
const AT_SYSTEM_MIN: usize = 56;
const AT_CRC: usize = 60;

/// The part of a device that an image replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The application, agent included.
    App,
    /// What runs below the application: a radio stack, the second stage of a boot loader.
    System,
    /// Anything that is not code.
    Data,
}

/// Where an image that executes in place was linked to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Runs from either slot, or is copied before it runs.
    Any,
    /// Runs from this slot only.
    Only(SlotId),
}

impl Link {
    /// Whether an image with this link runs from `slot`.
    #[must_use]
    pub fn allows(self, slot: SlotId) -> bool {
        self == Self::Any || self == Self::Only(slot)
    }
}

/// The position of the body in the image; its end fits 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    offset_bytes: u32,
    len_bytes: u32,
}

impl Body {
    /// Creates a body of `len_bytes` that starts `offset_bytes` after the start of the image.
    ///
    /// # Errors
    /// [`HeaderError::BodyInvalid`] if it is empty, overlaps the header, or ends beyond 4 GiB.
    pub const fn new(offset_bytes: u32, len_bytes: u32) -> Result<Self, HeaderError> {
        let clear_of_header = offset_bytes >= HEADER_BYTES as u32;
        if len_bytes == 0 || !clear_of_header || offset_bytes.checked_add(len_bytes).is_none() {
            return Err(HeaderError::BodyInvalid { offset_bytes, len_bytes });
        }
        Ok(Self { offset_bytes, len_bytes })
    }

    /// Start of the body, in bytes from the start of the image.
    #[must_use]
    pub const fn offset_bytes(self) -> u32 {
        self.offset_bytes
    }

    /// Length of the body, in bytes.
    #[must_use]
    pub const fn len_bytes(self) -> u32 {
        self.len_bytes
    }
}

/// The image's description of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The part that it replaces.
    pub component: Component,
    /// The slots that it runs from.
    pub link: Link,
    /// The board it is for.
    pub hardware: HardwareId,
    /// Its version.
    pub version: Version,
    /// Raised by a release that fixes a vulnerability; no device returns to a lower counter.
    pub security_counter: u32,
    /// Address that the body is loaded to or runs from; its meaning is defined by the boot selector.
    pub load_address: u32,
    /// The position of the body.
    pub body: Body,
    /// The release this image belongs to: the same for all images made together.
    pub release_id: u64,
    /// The lowest version of the system firmware that an app runs on.
    pub system_min: MajorMinor,
}

/// Why bytes are not a header. The CRC is checked before any other field than magic and format, so an invalid field
/// means a faulty signing tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    TooShort {
        /// Number of bytes given.
        got: usize,
    },
    /// The first four bytes are not the magic of this format.
    NotAnImage {
        /// These bytes.
        magic: [u8; 4],
    },
    /// A format that this program does not support.
    FormatUnknown {
        /// The number of the format.
        got: u16,
    },
    /// The CRC does not match: the header is damaged.
    CrcWrong,
    /// No such component.
    ComponentUnknown {
        /// The number found.
        got: u8,
    },
    /// No such slot link.
    LinkUnknown {
        /// The number found.
        got: u8,
    },
    /// Not 1 to 16 printable ASCII characters.
    HardwareIdInvalid,
    /// The body is empty, overlaps the header or ends beyond 4 GiB.
    BodyInvalid {
        /// Start of the body.
        offset_bytes: u32,
        /// Length of the body.
        len_bytes: u32,
    },
}

print_by_name!(HeaderError);

impl From<HardwareIdInvalid> for HeaderError {
    fn from(_: HardwareIdInvalid) -> Self {
        Self::HardwareIdInvalid
    }
}

impl Header {
    /// Parses the header at the start of `image`.
    ///
    /// # Errors
    /// [`HeaderError`] for the first error found.
    pub fn parse(image: &[u8]) -> Result<Self, HeaderError> {
        let bytes = image.first_chunk::<HEADER_BYTES>().ok_or(HeaderError::TooShort { got: image.len() })?;
        check_envelope(bytes)?;
        Ok(Self {
            component: parse_component(bytes[AT_COMPONENT])?,
            link: parse_link(bytes[AT_LINK])?,
            hardware: HardwareId::parse(take::<HARDWARE_ID_BYTES>(bytes, AT_HARDWARE))?,
            version: Version {
                major: u16_at(bytes, AT_VERSION),
                minor: u16_at(bytes, AT_VERSION + 2),
                patch: u32_at(bytes, AT_VERSION + 4),
            },
            security_counter: u32_at(bytes, AT_SECURITY_COUNTER),
            load_address: u32_at(bytes, AT_LOAD_ADDRESS),
            body: Body::new(u32_at(bytes, AT_BODY_OFFSET), u32_at(bytes, AT_BODY_LEN))?,
            release_id: u64::from_le_bytes(take(bytes, AT_RELEASE)),
            system_min: MajorMinor { major: u16_at(bytes, AT_SYSTEM_MIN), minor: u16_at(bytes, AT_SYSTEM_MIN + 2) },
        })
    }

    /// Returns the first bytes of an image; the body follows at its offset, with zeros between.
    #[must_use]
    pub fn emit(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, AT_FORMAT, &FORMAT.to_le_bytes());
        bytes[AT_COMPONENT] = component_number(self.component);
        bytes[AT_LINK] = link_number(self.link);
        put(&mut bytes, AT_HARDWARE, self.hardware.bytes());
        put(&mut bytes, AT_VERSION, &self.version.major.to_le_bytes());
        put(&mut bytes, AT_VERSION + 2, &self.version.minor.to_le_bytes());
        put(&mut bytes, AT_VERSION + 4, &self.version.patch.to_le_bytes());
        put(&mut bytes, AT_SECURITY_COUNTER, &self.security_counter.to_le_bytes());
        put(&mut bytes, AT_LOAD_ADDRESS, &self.load_address.to_le_bytes());
        put(&mut bytes, AT_BODY_OFFSET, &self.body.offset_bytes.to_le_bytes());
        put(&mut bytes, AT_BODY_LEN, &self.body.len_bytes.to_le_bytes());
        put(&mut bytes, AT_RELEASE, &self.release_id.to_le_bytes());
        put(&mut bytes, AT_SYSTEM_MIN, &self.system_min.major.to_le_bytes());
        put(&mut bytes, AT_SYSTEM_MIN + 2, &self.system_min.minor.to_le_bytes());
        let crc = crc32(&bytes[..AT_CRC]);
        put(&mut bytes, AT_CRC, &crc.to_le_bytes());
        bytes
    }

    /// Length in bytes of the whole image, header included.
    #[must_use]
    pub const fn image_bytes(&self) -> u32 {
        self.body.offset_bytes + self.body.len_bytes
    }
}

fn check_envelope(bytes: &[u8; HEADER_BYTES]) -> Result<(), HeaderError> {
    let magic = take(bytes, 0);
    if magic != MAGIC {
        return Err(HeaderError::NotAnImage { magic });
    }
    // The format is checked before the CRC: a later format may have its CRC at another offset.
    let got = u16_at(bytes, AT_FORMAT);
    if got != FORMAT {
        return Err(HeaderError::FormatUnknown { got });
    }
    if u32_at(bytes, AT_CRC) != crc32(&bytes[..AT_CRC]) {
        return Err(HeaderError::CrcWrong);
    }
    Ok(())
}

const fn component_number(component: Component) -> u8 {
    match component {
        Component::App => 1,
        Component::System => 2,
        Component::Data => 3,
    }
}

fn parse_component(number: u8) -> Result<Component, HeaderError> {
    match number {
        1 => Ok(Component::App),
        2 => Ok(Component::System),
        3 => Ok(Component::Data),
        got => Err(HeaderError::ComponentUnknown { got }),
    }
}

const fn link_number(link: Link) -> u8 {
    match link {
        Link::Any => 0,
        Link::Only(slot) => slot.number() + 1,
    }
}

fn parse_link(number: u8) -> Result<Link, HeaderError> {
    match number {
        0 => Ok(Link::Any),
        got => SlotId::from_number(got - 1).map(Link::Only).ok_or(HeaderError::LinkUnknown { got }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Header {
        Header {
            component: Component::System,
            link: Link::Only(SlotId::B),
            hardware: HardwareId::new("esp32c3-devkit").unwrap(),
            version: Version::new(1, 2, 0x0003_0201),
            security_counter: 5,
            load_address: 0x0801_0200,
            body: Body::new(512, 100_000).unwrap(),
            release_id: 0x1122_3344_5566_7788,
            system_min: MajorMinor::default(),
        }
    }

    /// The sample with one byte changed and a matching CRC.
    fn patched(at: usize, byte: u8) -> Result<Header, HeaderError> {
        let mut bytes = sample().emit();
        bytes[at] = byte;
        let crc = crc32(&bytes[..AT_CRC]);
        put(&mut bytes, AT_CRC, &crc.to_le_bytes());
        Header::parse(&bytes)
    }

    #[test]
    fn the_bytes_of_a_header_never_change() {
        let golden: [u8; HEADER_BYTES] = [
            0x9F, 0x4F, 0x54, 0x41, 0x01, 0x00, 0x02, 0x02, 0x65, 0x73, 0x70, 0x33, 0x32, 0x63, 0x33, 0x2D, //
            0x64, 0x65, 0x76, 0x6B, 0x69, 0x74, 0x00, 0x00, 0x01, 0x00, 0x02, 0x00, 0x01, 0x02, 0x03, 0x00, //
            0x05, 0x00, 0x00, 0x00, 0x00, 0x02, 0x01, 0x08, 0x00, 0x02, 0x00, 0x00, 0xA0, 0x86, 0x01, 0x00, //
            0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0x00, 0x00, 0x00, 0x1E, 0x59, 0xA2, 0x6A,
        ];
        assert_eq!(sample().emit(), golden);
        assert_eq!(Header::parse(&golden), Ok(sample()));
        assert_eq!(sample().image_bytes(), 100_512);
        let header = Header { system_min: MajorMinor::new(0x0102, 3), ..sample() };
        assert_eq!(header.emit()[AT_SYSTEM_MIN..AT_CRC], [2, 1, 3, 0]);
        assert_eq!(Header::parse(&header.emit()), Ok(header));
    }

    #[test]
    fn what_is_no_header_is_refused_by_name() {
        let bytes = sample().emit();
        assert_eq!(Header::parse(&bytes[..63]), Err(HeaderError::TooShort { got: 63 }));
        assert_eq!(Header::parse(&[0xFF; 64]), Err(HeaderError::NotAnImage { magic: [0xFF; 4] }));
        assert_eq!(patched(AT_FORMAT, 2), Err(HeaderError::FormatUnknown { got: 2 }));
        assert_eq!(patched(AT_COMPONENT, 9), Err(HeaderError::ComponentUnknown { got: 9 }));
        assert_eq!(patched(AT_LINK, 5), Err(HeaderError::LinkUnknown { got: 5 }));
        // A byte behind the padding's first zero, a space, and no text at all.
        assert_eq!(patched(AT_HARDWARE + 15, b'x'), Err(HeaderError::HardwareIdInvalid));
        assert_eq!(patched(AT_HARDWARE, b' '), Err(HeaderError::HardwareIdInvalid));
        assert_eq!(patched(AT_HARDWARE, 0), Err(HeaderError::HardwareIdInvalid));
    }

    #[test]
    fn a_body_is_never_empty_nor_in_the_header_nor_beyond_32_bits() {
        for (offset_bytes, len_bytes) in [(512, 0), (63, 10), (512, u32::MAX - 511)] {
            assert_eq!(Body::new(offset_bytes, len_bytes), Err(HeaderError::BodyInvalid { offset_bytes, len_bytes }));
        }
        assert_eq!(patched(AT_BODY_OFFSET, 0).map(|header| header.image_bytes()), Ok(100_512));
        assert!(matches!(patched(AT_BODY_OFFSET + 1, 0), Err(HeaderError::BodyInvalid { offset_bytes: 0, .. })));
        assert!(matches!(patched(AT_BODY_LEN + 3, 0xFF), Ok(header) if header.image_bytes() > 0xFF00_0000));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = sample().emit();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&bytes).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Header::parse(&bytes);
        }

        #[test]
        fn any_fields_under_a_right_crc_parse_to_what_emits_the_same(mut bytes: [u8; HEADER_BYTES]) {
            put(&mut bytes, 0, &MAGIC);
            put(&mut bytes, AT_FORMAT, &FORMAT.to_le_bytes());
            bytes[AT_COMPONENT] %= 4;
            bytes[AT_LINK] %= 4;
            let crc = crc32(&bytes[..AT_CRC]);
            put(&mut bytes, AT_CRC, &crc.to_le_bytes());
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert_eq!(header.emit(), bytes);
            }
        }
    }
}
