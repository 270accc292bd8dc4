//! Jobs of the simulation: a document, the file that its sources serve, and the reasons with which it may end. The documents
//! are written by hand, so that no emitter of this project tests a parser of this project.

use std::rc::Rc;

use ota_jobs::document::FileType;
use ota_jobs::{Reason, base64};
use ota_pal::{Component, Header, Link, MajorMinor, RollbackCounters};

use crate::image::{Behaviour, header, image};
use crate::rng::Rng;
use crate::verifier::{KEY_ID, Signer};

/// The defect of a job, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Good,
    /// The image fails its own test.
    FailsItsTest,
    /// The image never ends its own test.
    HangsInItsTest,
    /// A byte of the file differs from the signed one.
    Tampered,
    /// It is signed by a key that the device does not trust.
    ForeignKey,
    /// It is not signed.
    Unsigned,
    /// The signature is no base64.
    SignatureGarbled,
    /// It is signed over SHA-1.
    SignedWithSha1,
    /// It is signed by an unknown algorithm.
    SignedSomehow,
    /// The image is for another board.
    WrongHardware,
    /// The image is of another component than the document states.
    WrongComponent,
    /// The image requires a later version of the system than any device has.
    SystemTooOld,
    /// The image is as old as the running one.
    NotNewer,
    /// The file is no image.
    NotAnImage,
    /// The document announces another length than the image's header.
    OtherLength,
    /// The document announces more than a slot holds.
    TooLarge,
    /// The document announces no bytes.
    Empty,
    /// The file ends before its announced size.
    Short,
    /// The document offers no known protocol.
    UnknownProtocol,
    /// All files of the document are of another type.
    OtherFileType,
    /// The document does not fit the receive buffer: no message with it arrives.
    DocumentUndeliverable,
    /// The document is nested a thousand levels deep.
    DocumentTooDeep,
    /// A custom job: the application's.
    Custom,
}

impl Kind {
    /// All kinds that an agent has to reject or complete by itself.
    pub const ALL: [Kind; 22] = [
        Kind::Good,
        Kind::FailsItsTest,
        Kind::HangsInItsTest,
        Kind::Tampered,
        Kind::ForeignKey,
        Kind::Unsigned,
        Kind::SignatureGarbled,
        Kind::SignedWithSha1,
        Kind::SignedSomehow,
        Kind::WrongHardware,
        Kind::WrongComponent,
        Kind::SystemTooOld,
        Kind::NotNewer,
        Kind::NotAnImage,
        Kind::OtherLength,
        Kind::TooLarge,
        Kind::Empty,
        Kind::Short,
        Kind::UnknownProtocol,
        Kind::OtherFileType,
        Kind::DocumentUndeliverable,
        Kind::DocumentTooDeep,
    ];

    /// Reasons with which the job may fail; empty for a job that succeeds. Without other faults it is the first one; for a
    /// document that cannot be read, it may be the last fault that occurred while it was fetched.
    pub const fn reasons(self) -> &'static [Reason] {
        match self {
            Kind::Good | Kind::Custom => &[],
            Kind::FailsItsTest => &[Reason::SelfTestFailed],
            Kind::HangsInItsTest => &[Reason::SelfTestTimedOut],
            Kind::Tampered | Kind::ForeignKey => &[Reason::SignatureInvalid],
            Kind::Unsigned => &[Reason::SignatureMissing],
            Kind::SignatureGarbled => &[Reason::SignatureMalformed],
            Kind::SignedWithSha1 => &[Reason::SignatureSha1Refused],
            Kind::SignedSomehow => &[Reason::UnknownSignatureKind],
            Kind::WrongHardware => &[Reason::WrongHardware],
            Kind::WrongComponent => &[Reason::WrongComponent],
            Kind::SystemTooOld => &[Reason::SystemTooOld],
            Kind::NotNewer => &[Reason::VersionNotNewer],
            Kind::NotAnImage => &[Reason::ImageHeaderInvalid],
            Kind::OtherLength => &[Reason::ImageLengthMismatch],
            Kind::TooLarge => &[Reason::ImageTooLargeForSlot],
            Kind::Empty => &[Reason::ImageEmpty],
            Kind::Short => &[Reason::ImageTooShort],
            Kind::UnknownProtocol => &[Reason::UnknownProtocol],
            Kind::OtherFileType => &[Reason::NoFileForThisDevice],
            Kind::DocumentUndeliverable => &[Reason::DocumentTooLarge, Reason::DocumentNotJson],
            Kind::DocumentTooDeep => &[Reason::DocumentTooDeep, Reason::DocumentNotJson, Reason::DocumentTooLarge],
        }
    }

    const fn behaviour(self) -> Behaviour {
        match self {
            Kind::FailsItsTest => Behaviour::Fails,
            Kind::HangsInItsTest => Behaviour::Hangs,
            _ => Behaviour::Passes,
        }
    }
}

/// How the job's file can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A stream.
    Mqtt,
    /// A URL.
    Http,
    /// Either.
    Both,
}

/// What a job is made from.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// Its defect.
    pub kind: Kind,
    /// How its file can be fetched.
    pub route: Route,
    /// Version 1.0.`patch`.
    pub patch: u32,
    /// Bytes of the image, more than its header and a sector.
    pub image_bytes: u32,
    /// Values to which the image raises the monotonic record.
    pub asks: RollbackCounters,
    /// What it updates.
    pub component: Component,
    /// Whether it is signed by the successor of the device's first key.
    pub by_next_key: bool,
}

/// A job as the service has it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its defect.
    pub kind: Kind,
    /// What it updates.
    pub component: Component,
    /// Its document.
    pub document: String,
    /// The name of its stream.
    pub stream: String,
    /// The file's number in the stream.
    pub file_id: u32,
    /// The URL of the file.
    pub url: String,
    /// The bytes that the sources serve.
    pub file: Rc<[u8]>,
    /// The size that the document announces.
    pub announced_bytes: u32,
    /// The further files of the document.
    pub others: Vec<OtherFile>,
}

/// A further file of a job, of the same release.
#[derive(Clone, Debug)]
pub struct OtherFile {
    /// What it updates.
    pub component: Component,
    /// Its number in the stream.
    pub file_id: u32,
    /// Its URL.
    pub url: String,
    /// Its bytes.
    pub file: Rc<[u8]>,
}

impl Job {
    /// The file with this number in the stream.
    pub fn by_id(&self, file_id: u32) -> Option<&Rc<[u8]>> {
        let other = || self.others.iter().find(|other| other.file_id == file_id);
        if self.file_id == file_id { Some(&self.file) } else { other().map(|other| &other.file) }
    }

    /// The file with this URL.
    pub fn by_url(&self, url: &[u8]) -> Option<&Rc<[u8]>> {
        let other = || self.others.iter().find(|other| other.url.as_bytes() == url);
        if self.url.as_bytes() == url { Some(&self.file) } else { other().map(|other| &other.file) }
    }
}

/// A document longer than this does not fit any receive buffer; see [`crate::device::receive_bytes`].
const PADDING_UNDELIVERABLE: usize = 8_000;
const LEVELS_TOO_DEEP: usize = 400;
/// Larger than every slot of the simulation.
const BYTES_TOO_LARGE: u32 = 16 * 1024 * 1024;

/// Makes the job; `ours` is the key that devices trust.
pub fn job(order: &Order, ours: &Signer, rng: &mut Rng) -> Job {
    let file_type = match order.component {
        _ if order.kind == Kind::OtherFileType => 7,
        Component::System => 0x10,
        Component::App | Component::Data => 0,
    };
    release(order, &[(file_type, Link::Any)], ours, rng)
}

/// The files of a release of app and system.
pub const BOTH_COMPONENTS: [(u32, Link); 2] = [(0, Link::Any), (0x10, Link::Any)];

/// Makes a job with a file of each of these types, whose header has the component of the type, and the link beside it. A file
/// is 8 bytes longer than the one before.
pub fn release(order: &Order, files: &[(u32, Link)], ours: &Signer, rng: &mut Rng) -> Job {
    let mut made = files.iter().zip(0..).map(|((file_type, link), index)| {
        let component = match FileType::new(Some(*file_type)) {
            FileType::Firmware { system: true, .. } => Component::System,
            FileType::Firmware { system: false, .. } => Component::App,
            FileType::Other(_) => order.component,
        };
        let order = Order { image_bytes: order.image_bytes + 8 * index, component, ..order.clone() };
        let (job, signature) = with_file(&order, *link, ours, rng);
        (job, *file_type, signature)
    });
    let (mut job, file_type, signature) = made.next().expect("a job has a file");
    let mut members = vec![member(&job, order.route, file_type, &signature)];
    for (mut other, file_type, signature) in made {
        other.file_id = (job.file_id + members.len() as u32) % 256;
        members.push(member(&other, order.route, file_type, &signature));
        let Job { component, file_id, url, file, .. } = other;
        job.others.push(OtherFile { component, file_id, url, file });
    }
    job.document = document(&job, order.route, &members.join(","));
    job
}

/// A job without a document, and the signature of its file.
fn with_file(order: &Order, link: Link, ours: &Signer, rng: &mut Rng) -> (Job, Vec<u8>) {
    let Order { id, kind, patch, image_bytes, asks, component, by_next_key, .. } = order;
    let mut header = Header { link, component: *component, ..header(*patch, *image_bytes, kind.behaviour(), *asks) };
    match (kind, component) {
        (Kind::WrongHardware, _) => header.hardware = crate::image::hardware("other"),
        (Kind::SystemTooOld, _) => header.system_min = MajorMinor::new(2, 0),
        (Kind::WrongComponent, Component::App) => header.component = Component::System,
        (Kind::WrongComponent, _) => header.component = Component::App,
        _ => {}
    }
    let mut file = match kind {
        Kind::NotAnImage => rng.bytes(*image_bytes as usize),
        _ => image(&header, rng),
    };
    let signature = match kind {
        Kind::ForeignKey => Signer::new("foreign", matches!(ours, Signer::Real(_))).sign(&file),
        _ if *by_next_key => ours.next().sign(&file),
        _ => ours.sign(&file),
    };
    let announced_bytes = match kind {
        Kind::TooLarge => BYTES_TOO_LARGE,
        Kind::Empty => 0,
        Kind::OtherLength => image_bytes - 1,
        _ => *image_bytes,
    };
    match kind {
        Kind::Tampered => {
            let at = rng.between(512, u64::from(*image_bytes) - 1) as usize;
            file[at] ^= 1 << rng.below(8);
        }
        Kind::Short => file.truncate(rng.between(1, u64::from(*image_bytes) - 1) as usize),
        _ => {}
    }
    let stream = format!("AFR_OTA-{:036x}", rng.next_u64());
    let file_id = rng.below(256) as u32;
    let url = format!("https://bucket.example/{id}/fw.bin?X-Amz-Signature={:016x}&v=1", rng.next_u64());
    let job = Job {
        id: id.clone(),
        kind: *kind,
        component: *component,
        document: String::new(),
        stream,
        file_id,
        url,
        file: file.into(),
        announced_bytes,
        others: Vec::new(),
    };
    (job, signature)
}

/// The member of the document for the file of `job`.
fn member(job: &Job, route: Route, file_type: u32, signature: &[u8]) -> String {
    let Job { kind, file_id, announced_bytes, .. } = job;
    // As AWS encodes it: with escaped slashes in URLs.
    let url = job.url.replace('/', r"\/").replace('&', r"\u0026");
    let url = match route {
        Route::Mqtt => String::from(r#""update_data_url":null"#),
        Route::Http => format!(r#""update_data_url":"{url}","auth_scheme":"aws.s3.presigned""#),
        Route::Both => format!(r#""update_data_url":"{url}""#),
    };
    let signature = signature_member(*kind, signature);
    format!(
        r#"{{"filepath":"fw.bin","filesize":{announced_bytes},"fileid":{file_id},"certfile":"{KEY_ID}","fileType":{file_type},{url},{signature}}}"#
    )
}

fn document(job: &Job, route: Route, files: &str) -> String {
    let Job { kind, stream, .. } = job;
    let protocols = match (kind, route) {
        (Kind::UnknownProtocol, _) => r#""CARRIER_PIGEON""#,
        (_, Route::Mqtt) => r#""MQTT""#,
        (_, Route::Http) => r#""HTTP""#,
        (_, Route::Both) => r#""MQTT","HTTP""#,
    };
    let stream = match route {
        Route::Mqtt | Route::Both => format!(r#""streamname":"{stream}","#),
        Route::Http => String::new(),
    };
    let surplus = surplus(*kind);
    if *kind == Kind::Custom {
        return String::from(r#"{"operation":"reboot"}"#);
    }
    format!(r#"{{"afr_ota":{{"protocols":[{protocols}],{stream}"files":[{files}]}}{surplus}}}"#)
}

fn signature_member(kind: Kind, signature: &[u8]) -> String {
    let mut text = [0; 128];
    let len = base64::encode(signature, &mut text).expect("a signature is short");
    let text = std::str::from_utf8(&text[..len]).expect("base64 is ASCII");
    match kind {
        Kind::Unsigned => String::from(r#""sig--":null"#),
        _ if signature.is_empty() => String::from(r#""sig--":null"#),
        Kind::SignatureGarbled => String::from(r#""sig-sha256-ecdsa":"not base64!""#),
        Kind::SignedWithSha1 => format!(r#""sig-sha1-ecdsa":"{text}""#),
        Kind::SignedSomehow => format!(r#""sig-md5-dsa":"{text}""#),
        _ => format!(r#""sig-sha256-ecdsa":"{text}""#),
    }
}

fn surplus(kind: Kind) -> String {
    let padding = |len| format!(r#","padding":"{}""#, "x".repeat(len));
    match kind {
        Kind::DocumentUndeliverable => padding(PADDING_UNDELIVERABLE),
        Kind::DocumentTooDeep => {
            format!(r#","deep":{}{}"#, "[".repeat(LEVELS_TOO_DEEP), "]".repeat(LEVELS_TOO_DEEP))
        }
        _ => String::new(),
    }
}
