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
    /// An image is linked for the factory slot.
    FactoryLink {
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
    /// Two images of firmware are for the same component, whatever the slot: a device takes the first one.
    SameComponent {
        /// The name of the first one.
        first: String,
        /// The name of the other one.
        second: String,
    },
    /// An app and a system have no release id: nothing would bind them.
    IdMissing {
        /// The name of the first one.
        first: String,
        /// The name of the other one.
        second: String,
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
            Self::FactoryLink { name } => {
                write!(f, "{name} is linked for the factory slot, which no update writes")
            }
            Self::LinkMissing { name } => {
                write!(f, "{name} is linked for any slot; a release for several slots has an image for each of them")
            }
            Self::IdMissing { first, second } => {
                write!(f, "{first} and {second}, an app and a system, have no release id; both need the same one")
            }
            Self::SameComponent { first, second } => {
                write!(f, "{first} and {second} are for the same component and any slot: one of them is never taken")
            }
            Self::SameLink { first, second, slot } => write!(f, "{first} and {second} are both linked for slot {slot}"),
            Self::Differs { first, second, field } => write!(f, "{first} and {second} are not one release: {field}"),
        }
    }
}

/// Returns the `fileType` of each image of a job; none for firmware of the app that runs from any slot, and for other files.
///
/// Errors: [`ReleaseError`] if an image has another length than its header states, if one is for the factory slot, or if the
/// images are for several slots or components, and are not one release.
pub fn file_types(images: &[Head]) -> Result<Vec<Option<u32>>, ReleaseError> {
    images.iter().try_for_each(Head::check_length)?;
    images.iter().try_for_each(check_link)?;
    for (index, image) in images.iter().enumerate() {
        images[..index].iter().try_for_each(|earlier| check_together(earlier, image))?;
    }
    let is_plain = images.iter().all(|image| slot_of(image).is_none());
    Ok(images.iter().map(|image| type_of(image).filter(|number| !is_plain || *number > 0)).collect())
}

/// Checks that an update can write the image to a slot.
fn check_link(image: &Head) -> Result<(), ReleaseError> {
    match slot_of(image) {
        Some(slot) if slot.is_factory() => Err(ReleaseError::FactoryLink { name: image.name.clone() }),
        _ => Ok(()),
    }
}

/// Checks whether two images can be in one job.
fn check_together(first: &Head, second: &Head) -> Result<(), ReleaseError> {
    let names = || (first.name.clone(), second.name.clone());
    let (one, other) = match (&first.header, &second.header) {
        (Some(one), Some(other)) => (one, other),
        (Some(one), None) if one.link != Link::Any => {
            return Err(ReleaseError::HeaderMissing { name: second.name.clone() });
        }
        (None, Some(other)) if other.link != Link::Any => {
            return Err(ReleaseError::HeaderMissing { name: first.name.clone() });
        }
        _ => return Ok(()),
    };
    let is_system = |header: &Header| header.component == Component::System;
    let difference = match (one.link, other.link) {
        _ if is_system(one) != is_system(other) && one.release_id == 0 && other.release_id == 0 => {
            let (first, second) = names();
            return Err(ReleaseError::IdMissing { first, second });
        }
        _ if is_system(one) != is_system(other) => difference(of_both(one), of_both(other)),
        (Link::Any, Link::Any) if one.component == other.component && one.component != Component::Data => {
            let (first, second) = names();
            return Err(ReleaseError::SameComponent { first, second });
        }
        (Link::Any, Link::Any) => None,
        (Link::Any, Link::Only(_)) => return Err(ReleaseError::LinkMissing { name: first.name.clone() }),
        (Link::Only(_), Link::Any) => return Err(ReleaseError::LinkMissing { name: second.name.clone() }),
        (Link::Only(slot), Link::Only(taken)) if slot == taken => {
            let (first, second) = names();
            return Err(ReleaseError::SameLink { first, second, slot });
        }
        (Link::Only(_), Link::Only(_)) => difference(of_one(one), of_one(other)),
    };
    match difference {
        Some(field) => {
            let (first, second) = names();
            Err(ReleaseError::Differs { first, second, field })
        }
        None => Ok(()),
    }
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

/// The fields in which images of one component do not differ.
fn of_one(header: &Header) -> Vec<String> {
    let mut fields = vec![
        format!("component {:?}", header.component),
        format!("version {}", header.version),
        format!("security counter {}", header.security_counter),
    ];
    fields.extend(of_both(header));
    fields
}

/// The fields in which app and system of a release do not differ.
fn of_both(header: &Header) -> Vec<String> {
    vec![format!("hardware {}", header.hardware), format!("release id {}", header.release_id)]
}

/// Returns the first field that differs, with both values.
fn difference(one: Vec<String>, other: Vec<String>) -> Option<String> {
    let differs = one.into_iter().zip(other).find(|(one, other)| one != other);
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
        let data = || head("data", &Header { component: Component::Data, ..header(Link::Any) });
        let images = [head("any", &header(Link::Any)), data(), data(), Head::read("raw", b"raw", 3)];
        assert_eq!(file_types(&images), Ok(vec![None; 4]));
        assert_eq!(file_types(&[]), Ok(vec![]));
    }

    #[test]
    fn of_two_programs_for_any_slot_a_device_would_never_take_one() {
        let images = [head("old", &header(Link::Any)), head("new", &header(Link::Any))];
        let refused = file_types(&images).unwrap_err().to_string();
        assert_eq!(refused, "old and new are for the same component and any slot: one of them is never taken");
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
    fn an_image_for_the_factory_slot_is_in_no_job() {
        let refused = file_types(&[linked("fw", SlotId::FACTORY)]).unwrap_err().to_string();
        assert_eq!(refused, "fw is linked for the factory slot, which no update writes");
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

    #[test]
    fn app_and_system_of_a_release_have_its_id_and_its_hardware() {
        let app = header(Link::Any);
        let system = Header { component: Component::System, version: Version::new(7, 0, 0), ..app };
        let types = |app: &Header, system: &Header| {
            file_types(&[head("app", app), head("sys", system)]).map_err(|error| error.to_string())
        };
        assert_eq!(types(&app, &system), Ok(vec![None, Some(16)]));
        let without = |header: &Header| Header { release_id: 0, ..*header };
        let missing = "app and sys, an app and a system, have no release id; both need the same one";
        assert_eq!(types(&without(&app), &without(&system)), Err(missing.into()));
        let differs = types(&app, &Header { release_id: 8, ..system });
        assert_eq!(differs, Err("app and sys are not one release: release id 9 and release id 8".into()));
        let other = Header { hardware: HardwareId::new("other").unwrap(), ..system };
        assert!(types(&app, &other).unwrap_err().contains("hardware board-7 and hardware other"));
        let linked = |header: &Header, slot| head("linked", &Header { link: Link::Only(slot), ..*header });
        let images = [linked(&app, SlotId::A), linked(&system, SlotId::A), linked(&app, SlotId::B)];
        assert_eq!(file_types(&images), Ok(vec![Some(10), Some(26), Some(11)]));
        assert_eq!(file_types(&[linked(&app, SlotId::B), head("sys", &system)]), Ok(vec![Some(11), Some(16)]));
    }
}
