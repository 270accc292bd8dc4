//! The TLVs after the body of an MCUboot image: digest, security counter, board. MCUboot itself checks signatures in
//! TLVs.
//!
//! The header names no board. An image for one board contains its hardware id, as ASCII, in the protected TLV 0x00A0,
//! the first of the vendor range: `imgtool sign --custom-tlv 0xA0 my-board`. Only protected TLVs are trusted, because
//! the digest covers no others.
//!
//! Source: MCUboot, boot/bootutil/src/tlv.c; scripts/imgtool/image.py.

use super::super::super::flash::hash;
use super::super::super::flash::{self, Flash};
use crate::bytes::{take, u16_at};
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::hardware::{HARDWARE_ID_BYTES, HardwareId};
use crate::platform::hooks::Watchdog;
use crate::store::region::Region;
use crate::store::region::WORD_BYTES_MAX;

use super::image::{ImageError, ImageHeader};

/// The protected TLV that names the board: the first number reserved for vendors.
pub const TLV_HARDWARE_ID: u16 = 0x00A0;

/// The most TLVs in each of the two areas of an image; `imgtool` writes fewer than twenty.
pub const TLVS_MAX: u32 = 64;

pub(super) const AREA_MAGIC: u16 = 0x6907;
pub(super) const PROTECTED_AREA_MAGIC: u16 = 0x6908;
pub(super) const TLV_SHA256: u16 = 0x0010;
pub(super) const TLV_SECURITY_COUNTER: u16 = 0x0050;

/// Bytes of the head of a TLV, and of the head of an area.
const TLV_HEAD_BYTES: u32 = 4;

/// The contents of the TLVs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlvs {
    /// Length in bytes of the whole image, TLVs included.
    pub image_bytes: u32,
    /// The SHA-256 of everything before the TLVs that are not protected.
    pub digest: Digest,
    /// The security counter, if there is one.
    pub security_counter: Option<u32>,
    /// The board, if the image names one.
    pub hardware: Option<HardwareId>,
}

/// Reads the TLVs of the image in a slot; the whole image must be present.
///
/// # Cancel safety
/// Nothing is written, so cancellation has no effect.
///
/// # Errors
/// [`Fault::Read`]; the inner error is the first one found in the image.
pub async fn read_tlvs<F: Flash>(
    flash: &mut F,
    slot: Region,
    header: &ImageHeader,
) -> Result<Result<Tlvs, ImageError>, Fault> {
    match walk(flash, slot, header).await {
        Ok(tlvs) => Ok(Ok(tlvs)),
        Err(Stop::Image(error)) => Ok(Err(error)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// Whether the image in a slot matches the digest in its TLV: otherwise MCUboot would not start the image. The watchdog
/// is fed once per step.
///
/// # Cancel safety
/// Nothing is written, so cancellation has no effect.
///
/// # Errors
/// [`Fault::Read`], [`Fault::OutOfRange`] if the image is longer than its slot.
pub async fn matches_digest<F: Flash, W: Watchdog>(
    flash: &mut F,
    slot: Region,
    header: &ImageHeader,
    tlvs: &Tlvs,
    watchdog: &mut W,
) -> Result<bool, Fault> {
    Ok(hash::digest(flash, slot, header.hashed_bytes(), watchdog).await? == tlvs.digest)
}

/// Why a walk ends early.
enum Stop {
    Image(ImageError),
    Fault(Fault),
}

impl From<ImageError> for Stop {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

/// The two areas of TLVs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Area {
    Protected,
    Open,
}

#[derive(Default)]
struct Found {
    digest: Option<Digest>,
    security_counter: Option<u32>,
    hardware: Option<HardwareId>,
}

async fn walk<F: Flash>(flash: &mut F, slot: Region, header: &ImageHeader) -> Result<Tlvs, Stop> {
    let mut found = Found::default();
    let open = header.hashed_bytes();
    if header.protected_bytes != 0 {
        let at = open - header.protected_bytes;
        let end = area_end(flash, slot, at, PROTECTED_AREA_MAGIC).await?;
        if end != open {
            let (header, area) = (header.protected_bytes, end - at);
            return Err(ImageError::ProtectedLengthMismatch { header, area }.into());
        }
        walk_area(flash, slot, (at, end), Area::Protected, &mut found).await?;
    }
    let image_bytes = area_end(flash, slot, open, AREA_MAGIC).await?;
    walk_area(flash, slot, (open, image_bytes), Area::Open, &mut found).await?;
    let Found { digest, security_counter, hardware } = found;
    Ok(Tlvs { image_bytes, digest: digest.ok_or(ImageError::DigestMissing)?, security_counter, hardware })
}

/// Returns the end of the area that starts at `at`, its head included.
async fn area_end<F: Flash>(flash: &mut F, slot: Region, at: u32, expected: u16) -> Result<u32, Stop> {
    let head: [u8; TLV_HEAD_BYTES as usize] = read_at(flash, slot, at).await?;
    let (magic, len_bytes) = (u16_at(&head, 0), u32::from(u16_at(&head, 2)));
    if magic != expected {
        return Err(ImageError::NoTlvArea { offset_bytes: at, magic }.into());
    }
    within(at, len_bytes.max(TLV_HEAD_BYTES), slot.len_bytes())
}

async fn walk_area<F: Flash>(
    flash: &mut F,
    slot: Region,
    (start, end): (u32, u32),
    area: Area,
    found: &mut Found,
) -> Result<(), Stop> {
    let mut at = start + TLV_HEAD_BYTES;
    for _ in 0..TLVS_MAX {
        if at == end {
            return Ok(());
        }
        let value_at = within(at, TLV_HEAD_BYTES, end)?;
        let head: [u8; TLV_HEAD_BYTES as usize] = read_at(flash, slot, at).await?;
        let (kind, len) = (u16_at(&head, 0), u16_at(&head, 2));
        at = within(value_at, u32::from(len), end)?;
        match (area, kind) {
            (Area::Open, TLV_SHA256) => {
                let digest = Digest(value(flash, slot, value_at, (kind, len)).await?);
                once(&mut found.digest, digest, kind)?;
            }
            (Area::Protected, TLV_SECURITY_COUNTER) => {
                let counter = u32::from_le_bytes(value(flash, slot, value_at, (kind, len)).await?);
                once(&mut found.security_counter, counter, kind)?;
            }
            (Area::Protected, TLV_HARDWARE_ID) => {
                let hardware = hardware(flash, slot, value_at, len).await?;
                once(&mut found.hardware, hardware, kind)?;
            }
            _ => {} // MCUboot checks signatures and keys; unprotected TLVs are ignored
        }
    }
    if at == end { Ok(()) } else { Err(ImageError::TooManyTlvs.into()) }
}

async fn value<const N: usize, F: Flash>(
    flash: &mut F,
    slot: Region,
    at: u32,
    (kind, got): (u16, u16),
) -> Result<[u8; N], Stop> {
    if usize::from(got) != N {
        return Err(ImageError::TlvLengthWrong { kind, got }.into());
    }
    read_at(flash, slot, at).await
}

async fn hardware<F: Flash>(flash: &mut F, slot: Region, at: u32, len: u16) -> Result<HardwareId, Stop> {
    if usize::from(len) > HARDWARE_ID_BYTES {
        return Err(ImageError::HardwareIdInvalid.into());
    }
    let mut text: [u8; HARDWARE_ID_BYTES] = read_at(flash, slot, at).await?;
    text[usize::from(len)..].fill(0);
    HardwareId::parse(text).map_err(|_| ImageError::HardwareIdInvalid.into())
}

fn once<T>(place: &mut Option<T>, found: T, kind: u16) -> Result<(), Stop> {
    match place.replace(found) {
        None => Ok(()),
        Some(_) => Err(ImageError::TlvRepeated { kind }.into()),
    }
}

/// Returns the end of `len_bytes` from `at` on if it is not beyond `limit_bytes`.
fn within(at: u32, len_bytes: u32, limit_bytes: u32) -> Result<u32, Stop> {
    match at.checked_add(len_bytes) {
        Some(end_bytes) if end_bytes <= limit_bytes => Ok(end_bytes),
        end_bytes => Err(ImageError::OutOfRange { end_bytes: end_bytes.unwrap_or(u32::MAX), limit_bytes }.into()),
    }
}

/// Reads bytes that start anywhere in the slot; those beyond its end are zero.
async fn read_at<const N: usize, F: Flash>(flash: &mut F, slot: Region, at: u32) -> Result<[u8; N], Stop> {
    within(at, 1, slot.len_bytes())?;
    let word_bytes = flash::word_bytes::<F>();
    let first = at - at % word_bytes;
    let shift = (at - first) as usize;
    // A whole number of words: the longest value with a word before and after it.
    let mut window = [0; 3 * WORD_BYTES_MAX];
    let wanted = (shift + N).next_multiple_of(word_bytes as usize);
    let there = wanted.min((slot.len_bytes() - first) as usize);
    flash::read(flash, slot.at(first), &mut window[..there]).await.map_err(Stop::Fault)?;
    Ok(take(&window, shift))
}
