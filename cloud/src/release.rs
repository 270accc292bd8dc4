//! The files of a release: which image is for which slot, and whether the images belong together. Both are read from the
//! images' own headers; a device decides by them too, and takes the document's `fileType` only to choose its file.

use std::fmt;

use ota_jobs::document::FileType;
use ota_pal::{Component, Header, Link, SlotId};

/// The start of an image.
#[derive(Clone, Debug)]
pub struct Head {
    /// The name of the image, for messages.
    pub name: String,
    /// Its header; absent for a file of another format.
    pub header: Option<Header>,
    /// Length of the file.
    pub file_bytes: u64,
}

impl Head {
    /// Reads the header at the start of `bytes`, the first bytes of a file of `file_bytes`.
    pub fn read(name: &str, bytes: &[u8], file_bytes: u64) -> Self {
        Self { name: name.to_owned(), header: Header::parse(bytes).ok(), file_bytes }
    }

    /// Checks that the file has the length that its header states. A file of another format has no such length.
    ///
    /// Errors: [`ReleaseError::LengthDiffers`].
    pub fn check_length(&self) -> Result<(), ReleaseError> {
        let Self { name, header, file_bytes } = self;
        match header.as_ref().map(|header| u64::from(header.image_bytes())) {
            Some(header_bytes) if header_bytes != *file_bytes => {
                Err(ReleaseError::LengthDiffers { name: name.clone(), header_bytes, file_bytes: *file_bytes })
            }
            _ => Ok(()),
        }
    }
}

/// Why images cannot be in one job.
#[derive(Debug, PartialEq, Eq)]
pub enum ReleaseError {
    /// A file has another length than its header states: a device refuses it.
    LengthDiffers {
        /// Its name.
        name: String,
        /// The length that its header states.
        header_bytes: u64,
        /// Its length.
        file_bytes: u64,
    },
    /// An image has no header, beside images that are linked for one slot.
    HeaderMissing {
        /// Its name.
        name: String,
    },
    /// An image is linked for any slot, beside images that are linked for one slot.
    LinkMissing {
        /// Its name.
        name: String,
    },
    /// Two images are linked for the same slot.
    SameLink {
        /// The name of the first one.
        first: String,
        /// The name of the other one.
        second: String,
        /// The slot.
        slot: SlotId,
    },
    /// Two images differ in a field that is the same for all images of a release.
    Differs {
        /// The name of the first one.
        first: String,
        /// The name of the other one.
        second: String,
        /// The field, with the value of each.
        field: String,
    },
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthDiffers { name, header_bytes, file_bytes } => {
                let how = if file_bytes < header_bytes { "is truncated" } else { "has bytes after its end" };
                write!(f, "{name} {how}: {file_bytes} bytes, its header states {header_bytes}")
            }
            Self::HeaderMissing { name } => {
                write!(f, "{name} has no valid image header; a release for several slots has an image for each of them")
            }
            Self::LinkMissing { name } => {
                write!(f, "{name} is linked for any slot; a release for several slots has an image for each of them")
            }
            Self::SameLink { first, second, slot } => write!(f, "{first} and {second} are both linked for slot {slot}"),
            Self::Differs { first, second, field } => write!(f, "{first} and {second} are not one release: {field}"),
        }
    }
}

/// Returns the `fileType` of each image of a job; none for firmware of the app that runs from any slot, and for other files.
///
/// Errors: [`ReleaseError`] if an image has another length than its header states, or if one is linked for one slot, and the
/// images are not one release.
pub fn file_types(images: &[Head]) -> Result<Vec<Option<u32>>, ReleaseError> {
    images.iter().try_for_each(Head::check_length)?;
    if images.iter().all(|image| slot_of(image).is_none()) {
        return Ok(images.iter().map(|image| type_of(image).filter(|number| *number > 0)).collect());
    }
    let mut checked: Vec<(&Head, &Header, SlotId)> = Vec::new();
    for image in images {
        let name = image.name.clone();
        let Some(header) = &image.header else { return Err(ReleaseError::HeaderMissing { name }) };
        let Link::Only(slot) = header.link else { return Err(ReleaseError::LinkMissing { name }) };
        for (other, other_header, taken) in &checked {
            let first = other.name.clone();
            if *taken == slot {
                return Err(ReleaseError::SameLink { first, second: name, slot });
            }
            if let Some(field) = difference(other_header, header) {
                return Err(ReleaseError::Differs { first, second: name, field });
            }
        }
        checked.push((image, header, slot));
    }
    Ok(images.iter().map(type_of).collect())
}

fn type_of(image: &Head) -> Option<u32> {
    let system = image.header.as_ref()?.component == Component::System;
    Some(FileType::Firmware { system, slot: slot_of(image).map(SlotId::number) }.number())
}

fn slot_of(image: &Head) -> Option<SlotId> {
    match image.header.as_ref()?.link {
        Link::Only(slot) => Some(slot),
        Link::Any => None,
    }
}

/// Returns the first field in which two images of a release must not differ, with both values.
fn difference(one: &Header, other: &Header) -> Option<String> {
    let fields = |header: &Header| {
        [
            format!("component {:?}", header.component),
            format!("hardware {}", header.hardware),
            format!("version {}", header.version),
            format!("security counter {}", header.security_counter),
            format!("release id {}", header.release_id),
        ]
    };
    let differs = fields(one).into_iter().zip(fields(other)).find(|(one, other)| one != other);
    differs.map(|(one, other)| format!("{one} and {other}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_pal::image::header::Body;
    use ota_pal::{HardwareId, Version};

    fn header(link: Link) -> Header {
        Header {
            component: Component::App,
            link,
            hardware: HardwareId::new("board-7").unwrap(),
            version: Version::new(2, 1, 0),
            security_counter: 3,
            load_address: 0,
            body: Body::new(512, 1000).unwrap(),
            release_id: 9,
            system_min: ota_pal::MajorMinor::default(),
        }
    }

    fn head(name: &str, header: &Header) -> Head {
        Head::read(name, &header.emit(), header.image_bytes().into())
    }

    fn linked(name: &str, slot: SlotId) -> Head {
        head(name, &header(Link::Only(slot)))
    }

    #[test]
    fn an_image_for_each_slot_gets_the_type_of_that_slot() {
        let images = [linked("b", SlotId::B), linked("a", SlotId::A), linked("d", SlotId::D), linked("c", SlotId::C)];
        assert_eq!(file_types(&images), Ok(vec![Some(11), Some(10), Some(13), Some(12)]));
        assert_eq!(file_types(&images[..1]), Ok(vec![Some(11)]));
    }

    #[test]
    fn images_that_run_from_any_slot_and_files_of_other_formats_have_no_type() {
        let any = head("any", &header(Link::Any));
        let images = [any.clone(), any, Head::read("raw", b"raw", 3)];
        assert_eq!(file_types(&images), Ok(vec![None; 3]));
        assert_eq!(file_types(&[]), Ok(vec![]));
    }

    #[test]
    fn an_image_of_the_system_has_the_type_of_one() {
        let system = |link| head("system", &Header { component: Component::System, ..header(link) });
        assert_eq!(file_types(&[system(Link::Any)]), Ok(vec![Some(16)]));
        let linked = [system(Link::Only(SlotId::B)), system(Link::Only(SlotId::A))];
        assert_eq!(file_types(&linked), Ok(vec![Some(27), Some(26)]));
    }

    #[test]
    fn a_file_of_another_length_than_its_header_states_is_refused() {
        let image = head("fw", &header(Link::Any));
        for (file_bytes, text) in [
            (1_511, "fw is truncated: 1511 bytes, its header states 1512"),
            (1_513, "fw has bytes after its end: 1513 bytes, its header states 1512"),
        ] {
            let refused = file_types(&[Head { file_bytes, ..image.clone() }]).unwrap_err();
            assert_eq!(refused.to_string(), text);
        }
        assert_eq!(file_types(&[image]), Ok(vec![None]));
    }

    #[test]
    fn images_that_are_no_release_are_refused_by_name() {
        let a = linked("a", SlotId::A);
        let refused = |other: Head| file_types(&[a.clone(), other]).unwrap_err().to_string();
        assert!(refused(Head::read("raw", b"raw", 3)).starts_with("raw has no valid image header"));
        assert!(refused(head("any", &header(Link::Any))).starts_with("any is linked for any slot"));
        assert_eq!(refused(linked("b", SlotId::A)), "a and b are both linked for slot A");
        let b = header(Link::Only(SlotId::B));
        for (header, field) in [
            (Header { component: Component::Data, ..b }, "component App and component Data"),
            (Header { hardware: HardwareId::new("other").unwrap(), ..b }, "hardware board-7 and hardware other"),
            (Header { version: Version::new(2, 1, 1), ..b }, "version 2.1.0 and version 2.1.1"),
            (Header { security_counter: 4, ..b }, "security counter 3 and security counter 4"),
            (Header { release_id: 8, ..b }, "release id 9 and release id 8"),
        ] {
            let text = refused(head("b", &header));
            assert!(text.starts_with(&format!("a and b are not one release: {field}")), "{text}");
        }
        assert_eq!(file_types(&[a, head("b", &b)]), Ok(vec![Some(10), Some(11)]));
    }
}
