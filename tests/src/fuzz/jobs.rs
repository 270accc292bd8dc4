//! Every incoming message. A message that parses is read completely, and one that can be emitted again parses to the same
//! value.

use ota_jobs::base64::{self, Base64Error};
use ota_jobs::limits::TOPIC_BYTES_MAX;
use ota_jobs::{
    Describe, DescribeResponse, Document, Filter, Get, Notify, PendingJobs, RawJson, Rejected, StartNext, Topic,
    Update, UpdateResponse, details, job_of, stream,
};

pub fn documents(bytes: &[u8]) {
    let Ok(json) = RawJson::parse(bytes) else { return };
    let mut out = [0; 256];
    if let Ok(Some(document)) = Document::parse(json) {
        for file in document.files.iter() {
            if let Some(signature) = &file.signature {
                let _ = signature.base64.decode_base64(&mut out);
            }
            if let Some(url) = &file.update_data_url {
                let len = url.unescape(&mut out).map_or(0, str::len);
                assert!(len == 0 || len == url.len());
            }
        }
    }
}

pub fn envelopes(bytes: &[u8]) {
    let _ = job_of(bytes);
    let _ = Get::parse(bytes);
    let _ = StartNext::parse(bytes);
    let _ = Describe::parse(bytes);
    let _ = Rejected::parse(bytes);
    let _ = UpdateResponse::parse(bytes);
    if let Ok(update) = Update::parse(bytes) {
        update.status_details.into_iter().flat_map(details::details).for_each(drop);
    }
    if let Ok(pending) = PendingJobs::parse(bytes) {
        pending.in_progress.iter().chain(pending.queued.iter()).for_each(drop);
    }
    if let Ok(notify) = Notify::parse(bytes) {
        notify.in_progress.iter().chain(notify.queued.iter()).for_each(drop);
    }
    if let Ok(DescribeResponse { execution: Some(execution), .. }) = DescribeResponse::parse(bytes) {
        execution.document.into_iter().for_each(|document| drop(Document::parse(document)));
    }
}

pub fn streams(bytes: &[u8]) {
    let mut room = [0; 256];
    let _ = stream::Data::parse(bytes).map(|data| data.payload.len());
    let _ = stream::Data::parse_json(bytes, &mut room).map(|data| data.payload.len());
    let _ = (stream::Describe::parse(bytes), stream::Describe::parse_json(bytes));
    let _ = (stream::Rejected::parse(bytes), stream::Rejected::parse_json(bytes));
    for description in [stream::Description::parse(bytes), stream::Description::parse_json(bytes)].into_iter().flatten()
    {
        description.files.iter().for_each(drop);
    }
    for get in [stream::Get::parse(bytes), stream::Get::parse_json(bytes)].into_iter().flatten() {
        let wanted = get.wanted().count();
        let mut out = [0; 2_048];
        let len = get.emit(&mut out).expect("a request that was read can be written");
        let again = stream::Get::parse(&out[..len]).expect("and read again");
        assert_eq!(again.wanted().count(), wanted);
    }
}

pub fn topics(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let Ok((thing, topic)) = Topic::parse(text) else { return };
    let mut out = [0; TOPIC_BYTES_MAX];
    assert_eq!(topic.emit(thing, &mut out), Ok(text), "a topic that was read can be written");
    let _ = Filter::Update.emit(thing, &mut out);
}

pub fn texts(bytes: &[u8]) {
    let mut out = [0; 384];
    match base64::decode(bytes, &mut out) {
        Ok(len) => {
            let mut text = [0; 512];
            let written = base64::encode(&out[..len], &mut text).expect("there is room");
            assert_eq!(&text[..written], bytes);
        }
        Err(Base64Error::Invalid { at }) => assert!(at <= bytes.len()),
        Err(Base64Error::BufferTooSmall { .. }) => {}
    }
    if let Ok(json) = RawJson::parse(bytes) {
        details::details(json).for_each(drop);
        json.members().for_each(drop);
    }
}
