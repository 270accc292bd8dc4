//! Tests of the stream service through the embedded broker: exact bytes, both encodings, rejections.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Device, TempDir, TestService, config, pattern};
use ota_cloud::serve::Config;
use ota_jobs::StreamRejectCode;
use ota_jobs::stream::{Bitmap, Data, Describe, Description, Get, Rejected};

const BLOCK_BYTES: u32 = 4096;

/// A service with one job of this image, its device, and the topics of its stream.
struct StreamFixture {
    world: TestService,
    device: Device,
    stream: String,
    _dir: TempDir,
}

impl StreamFixture {
    async fn new(image: &[u8], aws_limits: bool) -> Self {
        let dir = TempDir::new();
        let world = TestService::start(Config { aws_limits, ..config(dir.path()) }).await;
        let id = world.upload(image).await;
        world.job("one", &id, r#"["MQTT"]"#).await;
        let mut device = Device::lamp(&world).await;
        device.publish("$aws/things/lamp/jobs/one/get", "{}").await;
        let described = device.json("/one/get/accepted").await;
        let name = described["execution"]["jobDocument"]["afr_ota"]["streamname"].as_str().unwrap();
        let stream = format!("$aws/things/lamp/streams/{name}");
        Self { world, device, stream, _dir: dir }
    }

    async fn get(&self, get: &Get<'_>) {
        let mut buffer = [0; 16_000];
        let len = get.emit(&mut buffer).unwrap();
        self.device.publish(&format!("{}/get/cbor", self.stream), &buffer[..len]).await;
    }

    /// Returns index and bytes of the next block.
    async fn block(&mut self) -> (u32, Vec<u8>) {
        let message = self.device.next("/data/cbor").await;
        let data = Data::parse(&message).unwrap();
        assert_eq!(data.file_id, 0);
        (data.index, data.payload.to_vec())
    }

    async fn refusal(&mut self) -> StreamRejectCode {
        Rejected::parse(&self.device.next("/rejected/cbor").await).unwrap().code
    }
}

fn get(offset_blocks: u32, count: Option<u32>) -> Get<'static> {
    Get { token: None, version: None, file_id: 0, block_bytes: BLOCK_BYTES, offset_blocks, count, bitmap: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_arrives_byte_by_byte_and_ends_with_a_short_block() {
    let image = pattern(300_001);
    let mut fixture = StreamFixture::new(&image, false).await;
    let mut received = Vec::new();
    for offset in (0..74).step_by(32) {
        fixture.get(&get(offset, Some(32))).await;
        for index in offset..(offset + 32).min(74) {
            let (got, bytes) = fixture.block().await;
            assert_eq!(got, index);
            received.extend(bytes);
        }
    }
    assert!(received == image);
    fixture.world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bitmap_brings_the_blocks_it_marks() {
    let image = pattern(300_001);
    let mut fixture = StreamFixture::new(&image, false).await;
    let bits = [0b1000_0001, 0b10];
    fixture.get(&Get { bitmap: Some(Bitmap::new(&bits).unwrap()), ..get(3, None) }).await;
    for index in [3, 10, 12] {
        let (got, bytes) = fixture.block().await;
        let from = index as usize * BLOCK_BYTES as usize;
        assert!(got == index && bytes == image[from..from + BLOCK_BYTES as usize]);
    }
    fixture.world.service.stop().await;
}

/// `{"c":"rdy","f":0,"l":4096,"o":1,"b":"MQ==" as 4 bytes,"n":1}`: six items, as the C library
/// aws-iot-core-mqtt-file-streams-embedded-c sends them.
#[tokio::test(flavor = "multi_thread")]
async fn the_c_clients_requests_are_served_in_both_encodings() {
    let image = pattern(10_000);
    let mut fixture = StreamFixture::new(&image, false).await;
    let request = b"\xA6\x61c\x63rdy\x61f\x00\x61l\x19\x10\x00\x61o\x01\x61b\x44MQ==\x61n\x01";
    fixture.device.publish(&format!("{}/get/cbor", fixture.stream), request).await;
    let message = fixture.device.next("/data/cbor").await;
    let data = Data::parse(&message).unwrap();
    assert_eq!(data.token.map(|token| token.chars().collect::<String>()).as_deref(), Some("rdy"));
    assert!(data.index == 1 && *data.payload == image[4096..8192]);

    let request = r#"{"s":1,"f":0,"l":4096,"o":2,"n":1}"#;
    fixture.device.publish(&format!("{}/get/json", fixture.stream), request).await;
    let json = fixture.device.json("/data/json").await;
    assert_eq!((&json["l"], &json["i"], json.get("c")), (&1808.into(), &2.into(), None));
    let mut room = [0; 4096];
    let len = ota_jobs::base64::decode(json["p"].as_str().unwrap().as_bytes(), &mut room).unwrap();
    assert!(room[..len] == image[8192..]);
    fixture.world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_block_fits_in_both_encodings() {
    let image = pattern(131_072);
    let mut fixture = StreamFixture::new(&image, false).await;
    fixture.get(&Get { block_bytes: 131_072, ..get(0, Some(1)) }).await;
    assert!(fixture.block().await.1 == image);
    fixture.device.publish(&format!("{}/get/json", fixture.stream), r#"{"f":0,"l":131072}"#).await;
    assert_eq!(fixture.device.json("/data/json").await["l"], 131_072);
    fixture.world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_lists_the_files() {
    let mut fixture = StreamFixture::new(&pattern(10_000), false).await;
    let mut buffer = [0; 64];
    let len = Describe::default().emit(&mut buffer).unwrap();
    fixture.device.publish(&format!("{}/describe/cbor", fixture.stream), &buffer[..len]).await;
    let message = fixture.device.next("/description/cbor").await;
    let description = Description::parse(&message).unwrap();
    let files: Vec<_> = description.files.iter().map(|file| file.unwrap()).collect();
    assert_eq!((description.version, files.len()), (1, 1));
    assert_eq!((files[0].file_id, files[0].file_size), (0, 10_000));
    fixture.world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_stream_requests_are_rejected_by_code() {
    let mut fixture = StreamFixture::new(&pattern(10_000), false).await;
    for (request, code) in [
        (get(3, None), StreamRejectCode::OffsetOutOfBounds),
        (Get { file_id: 9, ..get(0, None) }, StreamRejectCode::ResourceNotFound),
        (Get { version: Some(2), ..get(0, None) }, StreamRejectCode::VersionMismatch),
    ] {
        fixture.get(&request).await;
        assert_eq!(fixture.refusal().await, code, "{request:?}");
    }
    for (request, code) in [
        (&b"\xA2\x61f\x00\x61l\x1A\x00\x02\x00\x01"[..], StreamRejectCode::BlockSizeOutOfBounds),
        (b"\xA3\x61f\x00\x61l\x19\x10\x00\x61o\x1A\x00\x01\x80\x01", StreamRejectCode::OffsetOutOfBounds),
        (b"\xA3\x61f\x00\x61l\x19\x10\x00\x61n\x1A\x00\x01\x80\x01", StreamRejectCode::BlockCountLimitExceeded),
        (b"\xA1\x61f\x00", StreamRejectCode::InvalidRequest),
        (b"\xA9garbage", StreamRejectCode::InvalidCbor),
        (b"", StreamRejectCode::InvalidCbor),
    ] {
        fixture.device.publish(&format!("{}/get/cbor", fixture.stream), request).await;
        assert_eq!(fixture.refusal().await, code, "{request:?}");
    }
    fixture.device.publish("$aws/things/lamp/streams/other/get/json", "{").await;
    assert_eq!(fixture.device.json("/rejected/json").await["o"], "InvalidJson");
    fixture.device.publish("$aws/things/lamp/streams/other/get/json", r#"{"f":0,"l":4096,"c":"t"}"#).await;
    let refused = fixture.device.json("/rejected/json").await;
    assert_eq!((&refused["o"], &refused["c"]), (&"ResourceNotFound".into(), &"t".into()));
    fixture.world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_things_stream_is_not_found() {
    let fixture = StreamFixture::new(&pattern(10_000), false).await;
    let (mut door, _) = Device::connect(fixture.world.port(), "door", "$aws/things/door/#").await;
    let stream = fixture.stream.replace("/lamp/", "/door/");
    door.publish(&format!("{stream}/get/json"), r#"{"f":0,"l":4096}"#).await;
    assert_eq!(door.json("/rejected/json").await["o"], "ResourceNotFound");
    fixture.world.service.stop().await;
}

/// The rate itself is tested with an injected clock in `rate_limit` and `queues`.
#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_drops_no_block() {
    let image = pattern(200_000);
    let mut fixture = StreamFixture::new(&image, true).await;
    let mut received = Vec::new();
    for offset in (0..49).step_by(16) {
        fixture.get(&get(offset, Some(16))).await;
    }
    for _ in 0..49 {
        received.extend(fixture.block().await.1);
    }
    assert!(received == image);
    fixture.world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_arrives_through_a_window_of_requests() {
    let image = pattern(8_000_000);
    let mut fixture = StreamFixture::new(&image, false).await;
    let total = 8_000_000_u32.div_ceil(BLOCK_BYTES);
    let mut received = Vec::with_capacity(image.len());
    let mut asked = 0;
    while received.len() < image.len() {
        // Up to four outstanding requests, as with the window of a device.
        while asked < total && asked * BLOCK_BYTES < received.len() as u32 + 4 * 131_072 {
            fixture.get(&get(asked, Some(32))).await;
            asked += 32;
        }
        received.extend(fixture.block().await.1);
    }
    assert!(received == image);
    fixture.world.service.stop().await;
}
