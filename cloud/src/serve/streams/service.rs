//! The stream service: lists the files of a stream and sends their blocks, in CBOR and JSON.
//! The blocks are selected in `block_range.rs`.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ota_jobs::stream::{Data, Describe, Description, Get, Rejected, StreamFile, StreamFiles};
use ota_jobs::{EmitError, Encoding, JsonStr, ParseError, StreamRejectCode, StreamTopic};

use super::block_range::{Block, blocks, contiguous_runs};
use super::rate_limit::Throttle;
use super::request::{Operation, StreamRequest};
use crate::limits::STREAMS_CACHED_MAX;
use crate::serve::files::{Files, read_at};
use crate::serve::log::report_error;
use crate::serve::mqtt::emit::emit_to_bytes;
use crate::serve::mqtt::transport::{Outgoing, Publisher};
use crate::store::{Store, StoreError};

/// Version of every stream: a stream never changes after its job was created. The C library's JSON client sends it.
const STREAM_VERSION: u32 = 1;
/// Room in a data message for everything but the payload; the token may consist of escapes. Unit: bytes.
const HEAD_BYTES: usize = 512;

/// The streams in the store. The files of streams that were requested before are kept open.
#[derive(Clone)]
pub struct Streams {
    store: Store,
    files: Files,
    open: Arc<Mutex<OpenStreams>>,
}

/// Files that are kept open.
#[derive(Default)]
struct OpenStreams {
    streams: HashMap<Name, Arc<Vec<OpenFile>>>,
    /// Number of [`Store::stream_changes`] of which they are.
    changes: u64,
}

/// Thing and stream.
type Name = (String, String);

/// One file of a stream.
struct OpenFile {
    file_id: u32,
    size_bytes: u64,
    file: Arc<File>,
}

/// Why a request was rejected.
struct Refused<'a> {
    code: StreamRejectCode,
    message: String,
    token: Option<JsonStr<'a>>,
}

impl OpenStreams {
    /// Returns the streams that are open, without those that may have been removed since.
    fn at(&mut self, changes: u64) -> &mut HashMap<Name, Arc<Vec<OpenFile>>> {
        if self.changes != changes {
            self.streams.clear();
            self.changes = changes;
        }
        &mut self.streams
    }
}

impl Streams {
    /// Creates the service over this store.
    pub fn new(store: Store, files: Files) -> Self {
        Self { store, files, open: Arc::default() }
    }

    /// Returns the files of a stream of this thing; empty if there is no such stream.
    async fn files_of(&self, thing: &str, stream: &str) -> Result<Arc<Vec<OpenFile>>, StoreError> {
        let key = (thing.to_owned(), stream.to_owned());
        let changes = self.store.stream_changes();
        if let Some(found) = self.open.lock().expect("lock poisoned").at(changes).get(&key) {
            return Ok(Arc::clone(found));
        }
        let mut files = Vec::new();
        for file in self.store.stream_files(thing, stream).await? {
            let open = self.files.image(&file.image_id).await?;
            files.push(OpenFile { file_id: file.file_id, size_bytes: file.size_bytes, file: open });
        }
        let files = Arc::new(files);
        // An unknown stream is not cached: it may be created later.
        if !files.is_empty() {
            let mut open = self.open.lock().expect("lock poisoned");
            let open = open.at(changes);
            if open.len() >= STREAMS_CACHED_MAX {
                open.clear();
            }
            open.insert(key, Arc::clone(&files));
        }
        Ok(files)
    }
}

/// Serves one request and publishes the response or the rejection; returns a line for the log.
///
/// # Cancel safety
///
/// If the future is dropped, some of the blocks may have been sent; the device requests the others again.
pub async fn serve(
    streams: &Streams,
    publisher: &Publisher,
    request: &StreamRequest,
    limit: &mut impl Throttle,
) -> String {
    let call = Call { streams, publisher, request };
    let answered = match request.operation {
        Operation::Get => call.get(&request.payload, limit).await,
        Operation::Describe => call.describe(&request.payload).await,
    };
    match answered {
        Ok(text) => text,
        Err(refused) => {
            let text = format!("{}: {}", refused.code, refused.message);
            call.refuse(refused).await;
            text
        }
    }
}

/// A request and what is needed to serve it.
struct Call<'a> {
    streams: &'a Streams,
    publisher: &'a Publisher,
    request: &'a StreamRequest,
}

impl Call<'_> {
    async fn get<'p>(&self, payload: &'p [u8], limit: &mut impl Throttle) -> Result<String, Refused<'p>> {
        let get = match self.request.encoding {
            Encoding::Cbor => Get::parse(payload),
            Encoding::Json => Get::parse_json(payload),
        };
        let get = get.map_err(|error| unreadable(self.request.encoding, payload, error))?;
        let refused = |code, message| Refused { code, message, token: get.token };
        let files = self.files(get.token).await?;
        if let Some(version) = get.version.filter(|version| *version != STREAM_VERSION) {
            let message = format!("the stream has version {STREAM_VERSION}, not {version}");
            return Err(refused(StreamRejectCode::VersionMismatch, message));
        }
        let file = files.iter().find(|file| file.file_id == get.file_id);
        let file = file.ok_or_else(|| {
            refused(StreamRejectCode::ResourceNotFound, format!("the stream has no file {}", get.file_id))
        })?;
        let begin = u64::from(get.offset_blocks) * u64::from(get.block_bytes);
        if begin >= file.size_bytes {
            let message = format!("offset {begin} in a file of {} bytes", file.size_bytes);
            return Err(refused(StreamRejectCode::OffsetOutOfBounds, message));
        }
        self.send(&get, file, limit).await
    }

    /// Publishes the blocks: one read per contiguous run, one message per block.
    async fn send<'p>(&self, get: &Get<'p>, file: &OpenFile, limit: &mut impl Throttle) -> Result<String, Refused<'p>> {
        let found = blocks(get, file.size_bytes);
        let topic = self.request.answer_topic(StreamTopic::Data);
        let mut sent_bytes = 0;
        for run in contiguous_runs(&found) {
            let len: usize = run.iter().map(|block| block.len_bytes as usize).sum();
            let bytes = read_at(&file.file, run[0].offset_bytes, len).await;
            let bytes = bytes.map_err(|error| internal(&error, get.token))?;
            sent_bytes += len;
            for block in run {
                let from =
                    usize::try_from(block.offset_bytes - run[0].offset_bytes).expect("a block lies inside its run");
                let payload = bytes.slice(from..from + block.len_bytes as usize);
                let payload = self.data(get, block, &payload).map_err(|error| internal(&error, get.token))?;
                limit.wait(payload.len()).await;
                self.publisher.publish(Outgoing { topic: topic.clone(), payload, acknowledged: false }).await;
            }
        }
        let (id, count, block_bytes, offset) = (get.file_id, found.len(), get.block_bytes, get.offset_blocks);
        Ok(format!("file {id}: {count} blocks of {block_bytes} from {offset}, {sent_bytes} bytes sent"))
    }

    fn data(&self, get: &Get<'_>, block: &Block, payload: &[u8]) -> Result<Bytes, EmitError> {
        let data =
            Data { token: get.token, file_id: get.file_id, block_bytes: block.len_bytes, index: block.index, payload };
        let body_bytes = match self.request.encoding {
            Encoding::Cbor => payload.len(),
            Encoding::Json => ota_jobs::base64::encoded_len(payload.len()),
        };
        let mut buffer = vec![0; body_bytes + HEAD_BYTES];
        let len = match self.request.encoding {
            Encoding::Cbor => data.emit(&mut buffer)?,
            Encoding::Json => data.emit_json(&mut buffer)?,
        };
        buffer.truncate(len);
        Ok(Bytes::from(buffer))
    }

    async fn describe<'p>(&self, payload: &'p [u8]) -> Result<String, Refused<'p>> {
        let describe = match self.request.encoding {
            Encoding::Cbor => Describe::parse(payload),
            Encoding::Json => Describe::parse_json(payload),
        };
        let token = describe.map_err(|error| unreadable(self.request.encoding, payload, error))?.token;
        let files = self.files(token).await?;
        let listed: Vec<StreamFile> = files.iter().map(listed).collect();
        let description = Description { token, version: STREAM_VERSION, text: None, files: StreamFiles::new(&listed) };
        let payload = match self.request.encoding {
            Encoding::Cbor => emit_to_bytes(|out| description.emit(out)),
            Encoding::Json => emit_to_bytes(|out| description.emit_json(out)),
        };
        let payload = payload.map_err(|error| internal(&error, token))?;
        let topic = self.request.answer_topic(StreamTopic::Description);
        self.publisher.publish(Outgoing { topic, payload, acknowledged: true }).await;
        Ok(format!("described: {} files", files.len()))
    }

    async fn files<'p>(&self, token: Option<JsonStr<'p>>) -> Result<Arc<Vec<OpenFile>>, Refused<'p>> {
        let files = self.streams.files_of(&self.request.thing, &self.request.stream).await;
        let files = files.map_err(|error| internal(&error, token))?;
        if files.is_empty() {
            let message = format!("{} has no stream {}", self.request.thing, self.request.stream);
            return Err(Refused { code: StreamRejectCode::ResourceNotFound, message, token });
        }
        Ok(files)
    }

    async fn refuse(&self, refused: Refused<'_>) {
        let (code, token) = (refused.code, refused.token);
        let rejected = Rejected { code, message: Some(JsonStr::plain(&refused.message)), token };
        let payload = match self.request.encoding {
            Encoding::Cbor => emit_to_bytes(|out| rejected.emit(out)),
            Encoding::Json => emit_to_bytes(|out| rejected.emit_json(out)),
        };
        let topic = self.request.answer_topic(StreamTopic::Rejected);
        match payload {
            Ok(payload) => self.publisher.publish(Outgoing { topic, payload, acknowledged: true }).await,
            Err(error) => report_error(format_args!("refusal to {}: {error}", self.request.thing)),
        }
    }
}

fn listed(file: &OpenFile) -> StreamFile {
    // Images are far smaller than 4 GiB, see `IMAGE_BYTES_MAX`.
    StreamFile { file_id: file.file_id, file_size: u32::try_from(file.size_bytes).unwrap_or(u32::MAX) }
}

fn unreadable(encoding: Encoding, payload: &[u8], error: ParseError) -> Refused<'_> {
    // Reads the token of a request that is invalid otherwise: `Describe` requires no other field.
    let described = match encoding {
        Encoding::Cbor => Describe::parse(payload),
        Encoding::Json => Describe::parse_json(payload),
    };
    let token = described.ok().and_then(|describe| describe.token);
    Refused { code: StreamRejectCode::from(error), message: error.to_string(), token }
}

fn internal<'a>(error: &dyn std::fmt::Display, token: Option<JsonStr<'a>>) -> Refused<'a> {
    report_error(format_args!("stream: {error}"));
    let message = "the service cannot read the file".to_owned();
    Refused { code: StreamRejectCode::InternalError, message, token }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DATABASE_BYTES_MAX;
    use crate::model::{Image, Job};
    use crate::serve::mqtt::transport::{BrokerAddress, connect};
    use crate::store::NewJobRecord;
    use crate::testing::TempDir;

    /// Records the bytes of each wait.
    #[derive(Default)]
    struct Waits(Vec<usize>);

    impl Throttle for Waits {
        async fn wait(&mut self, bytes: usize) {
            self.0.push(bytes);
        }
    }

    /// Returns the streams of a service with one job for the thing `lamp`, whose image has this many bytes.
    async fn streams(dir: &TempDir, image_bytes: usize) -> Streams {
        let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
        let files = Files::open(dir.path()).unwrap();
        let mut upload = files.begin().unwrap();
        upload.write(&vec![7; image_bytes]).unwrap();
        let stored = upload.finish().unwrap();
        let (id, size_bytes, sha256) = (stored.id, stored.size_bytes, stored.sha256);
        let image = Image { id: id.clone(), name: "fw.img".into(), size_bytes, sha256, signature: None };
        store.add_image(&image, "ann").await.unwrap();
        let stream = Some("stream".to_owned());
        let (document, timeout_s) = ("{}".to_owned(), None);
        let config = crate::job_config::JobConfig::default();
        let job = Job {
            id: "one".into(),
            document,
            stream,
            timeout_s,
            config,
            continuous: false,
            canceled: false,
            canceled_by_force: false,
            paused: false,
            details: crate::model::JobDetails::default(),
            created_at_s: 1,
        };
        let created = NewJobRecord {
            job: &job,
            things: &["lamp".to_owned()],
            files: &[(0, id)],
            groups: &[],
            by: "ann",
            release: None,
        };
        store.create_job(&created).await.unwrap();
        Streams::new(store, files)
    }

    #[tokio::test]
    async fn every_block_waits_until_its_bytes_may_leave() {
        let dir = TempDir::new();
        let streams = streams(&dir, 10_000).await;
        let address = BrokerAddress { host: "127.0.0.1".into(), port: 1, tls: None, login: None, resume: false };
        let (publisher, mut connection) = connect(&address, &[]);
        let request = StreamRequest {
            thing: "lamp".into(),
            stream: "stream".into(),
            operation: Operation::Get,
            encoding: Encoding::Json,
            payload: r#"{"f":0,"l":4096}"#.into(),
        };
        let mut waits = Waits::default();
        let text = serve(&streams, &publisher, &request, &mut waits).await;
        assert_eq!(text, "file 0: 3 blocks of 4096 from 0, 10000 bytes sent");
        assert_eq!(connection.take_queued(), vec!["$aws/things/lamp/streams/stream/data/json"; 3]);
        // `{"f":0,"i":0,"l":4096,"p":"..."}` with the block in base64.
        let message = |block_bytes: usize| 29 + ota_jobs::base64::encoded_len(block_bytes);
        assert_eq!(waits.0, [message(4096), message(4096), message(1808)]);
    }
}
