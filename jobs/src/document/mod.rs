//! The job document of an update, as CreateOTAUpdate generates it. Documents of other kinds are passed on unchanged.
//! Whether a device accepts an update is decided elsewhere.

mod file;
mod file_type;

pub use file::{File, Signature, SignatureKind};
pub use file_type::FileType;

use heapless::Vec;

use crate::error::{EmitError, ParseError};
use crate::ids::StreamName;
use crate::json::RawJson;
use crate::json_writer::JsonWriter;
use crate::limits::{FILES_MAX, STREAM_NAME_BYTES_MAX};
use crate::value::{Fields, Value};

/// An update: its files and the protocols to fetch them.
///
/// Source: AWS IoT developer guide, CreateOTAUpdate; traffic of real accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// At least one is set.
    pub protocols: Protocols,
    /// The stream of the files, for MQTT.
    pub stream_name: Option<StreamName>,
    /// At least one file.
    pub files: Vec<File<'a>, FILES_MAX>,
    /// Whether the operator asks the application not to postpone the update: the member `forced`, specific to this project, is
    /// `true`.
    pub forced: bool,
}

/// Protocols to fetch the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocols {
    /// `MQTT`: blocks of a stream.
    pub mqtt: bool,
    /// `HTTP`: ranges of a URL.
    pub http: bool,
}

impl<'a> Document<'a> {
    /// Parses a job document; `None` if it is not an update of this kind.
    ///
    /// Errors: [`ParseError`], which converts to the [`Reason`](crate::Reason) to report.
    pub fn parse(document: RawJson<'a>) -> Result<Option<Self>, ParseError> {
        document.member("afr_ota")?.map(Self::read).transpose()
    }

    /// Whether a job document is an update of this kind. The rest is not parsed.
    ///
    /// Errors: [`ParseError::Duplicate`].
    pub fn is_update(document: RawJson<'_>) -> Result<bool, ParseError> {
        Ok(document.member("afr_ota")?.is_some())
    }

    fn read(ota: RawJson<'a>) -> Result<Self, ParseError> {
        let mut fields = Fields::new(Value::Json(ota), "afr_ota");
        let protocols = Protocols::read(&mut fields);
        let stream_name = read_stream_name(&mut fields);
        if !protocols.http && stream_name.is_none() {
            fields.refuse(ParseError::Missing { field: "streamname" });
        }
        let files = read_files(&mut fields);
        let forced = fields.raw("forced").is_some_and(|value| value.as_bytes() == b"true");
        let document = Self { protocols, stream_name, files, forced };
        fields.finish().map(|()| document)
    }

    /// Writes the document and returns its length.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut writer = JsonWriter::new(out);
        writer.open_member("afr_ota", b"{");
        writer.open_member("protocols", b"[");
        for (offered, name) in [(self.protocols.mqtt, "MQTT"), (self.protocols.http, "HTTP")] {
            if offered {
                writer.element(name);
            }
        }
        writer.close(b"]");
        writer.plain("streamname", self.stream_name.as_ref().map(StreamName::as_str));
        writer.open_member("files", b"[");
        for file in &self.files {
            writer.open_element(b"{");
            file.write(&mut writer);
            writer.close(b"}");
        }
        writer.close(b"]");
        writer.flag("forced", self.forced.then_some(true));
        writer.close(b"}");
        writer.finish()
    }
}

impl Protocols {
    fn read(fields: &mut Fields<'_>) -> Self {
        let mut protocols = Self::default();
        for name in fields.array("protocols").elements() {
            match name.text("protocols") {
                Ok(name) => {
                    protocols.mqtt |= name == "MQTT";
                    protocols.http |= name == "HTTP";
                }
                Err(error) => fields.refuse(error),
            }
        }
        if protocols == Self::default() {
            fields.refuse(ParseError::UnknownProtocol);
        }
        protocols
    }
}

fn read_stream_name(fields: &mut Fields<'_>) -> Option<StreamName> {
    let mut name = [0; STREAM_NAME_BYTES_MAX];
    let name = fields.text("streamname")?.unescape(&mut name).and_then(StreamName::new);
    name.map_err(|error| fields.refuse(error.into())).ok()
}

fn read_files<'a>(fields: &mut Fields<'a>) -> Vec<File<'a>, FILES_MAX> {
    const FIELD: &str = "files";
    let array = fields.array(FIELD);
    let got = array.elements().count();
    if got > FILES_MAX {
        fields.refuse(ParseError::TooMany { field: FIELD, got, max: FILES_MAX });
    }
    let files: Vec<_, FILES_MAX> = array.elements().take(FILES_MAX).map(|file| File::read(fields, file)).collect();
    if files.is_empty() {
        fields.refuse(ParseError::Missing { field: FIELD });
    }
    files
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::{format, vec};

    use proptest::prelude::*;

    use super::file::SIGNATURE_KINDS;
    use super::*;
    use crate::error::FieldError;
    use crate::text::JsonStr;
    use crate::{DescribeResponse, Reason};

    /// Source: aws/ota-for-aws-iot-embedded-sdk, test/unit-test/ota_jobParsing_utest.c, a job as AWS sent it.
    const MQTT: &[u8] = br#"{"clientToken":"0:testclient","timestamp":1602795143,"execution":{"jobId":"AFR_OTA-testjob20","status":"QUEUED","queuedAt":1602795128,"lastUpdatedAt":1602795128,"versionNumber":1,"executionNumber":1,"jobDocument":{"afr_ota":{"protocols":["MQTT"],"streamname":"AFR_OTA-6f74f1bd-c23b-4355-a688-9c34daaf9492","files":[{"filepath":"/home/ubuntu/dev/aws-iot-device-sdk-embedded-C-staging/ota_demo4","filesize":180568,"fileid":0,"certfile":"/home/ubuntu/dev/aws-iot-device-sdk-embedded-C-staging/demos/certificates/ecdsasigner.crt","sig-sha256-ecdsa":"MEQCIF2QDvww1G/kpRGZ8FYvQrok1bSZvXjXefRk7sqNcyPTAiB4dvGt8fozIY5NC0vUDJ2MY42ZERYEcrbwA4n6q7vrBg=="}] }}}}"#;
    /// Source: winnermicro/wm_iot_sdk, examples/network/cloud/aws/ota/ota_demo_core_http/README_EN.md, the log of a device;
    /// the security token of the URL is left out.
    const HTTP: &[u8] = br#"{"clientToken":":wm_demo_1","timestamp":1739165753,"execution":{"jobId":"AFR_OTA-TEST_19","status":"QUEUED","queuedAt":1739165736,"lastUpdatedAt":1739165736,"versionNumber":1,"executionNumber":1,"jobDocument":{"afr_ota":{"protocols":["HTTP"],"files":[{"filepath":"test","filesize":448952,"fileid":0,"certfile":"test","update_data_url":"https://seoul-job-1.s3.ap-northeast-2.amazonaws.com/ota_demo_core_http_ota.img?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20250210T053553Z&X-Amz-SignedHeaders=host&X-Amz-Expires=1800","auth_scheme":"aws.s3.presigned","sig-sha256-ecdsa":"TEST"}]}}}}"#;

    fn read(text: &str) -> Result<Option<Document<'_>>, ParseError> {
        Document::parse(RawJson::parse(text.as_bytes())?)
    }

    fn of(message: &[u8]) -> Document<'_> {
        let document = DescribeResponse::parse(message).unwrap().execution.unwrap().document.unwrap();
        Document::parse(document).unwrap().unwrap()
    }

    /// A document with this text in place of its one file's other fields.
    fn with_file(more: &str) -> String {
        format!(
            r#"{{"afr_ota":{{"protocols":["MQTT"],"streamname":"s","files":[{{"filesize":1,"fileid":0{more}}}]}}}}"#
        )
    }

    fn with_ota(ota: &str) -> String {
        format!(r#"{{"afr_ota":{ota}}}"#)
    }

    #[test]
    fn a_job_over_mqtt_as_aws_sends_it_is_read() {
        let document = of(MQTT);
        assert_eq!(document.protocols, Protocols { mqtt: true, http: false });
        let stream = document.stream_name.unwrap();
        assert_eq!((stream.as_str(), stream.as_str().len()), ("AFR_OTA-6f74f1bd-c23b-4355-a688-9c34daaf9492", 44));
        let file = &document.files[0];
        assert_eq!((file.file_size, file.file_id, file.file_type), (180_568, 0, None));
        let signature = file.signature.as_ref().unwrap();
        assert_eq!(signature.kind, SignatureKind::Sha256Ecdsa);
        let mut der = [0; 72];
        let len = signature.base64.decode_base64(&mut der).unwrap();
        assert_eq!((len, der[0], usize::from(der[1])), (70, 0x30, len - 2));
    }

    #[test]
    fn a_job_over_http_as_aws_sends_it_is_read() {
        let document = of(HTTP);
        assert_eq!(document.protocols, Protocols { mqtt: false, http: true });
        assert_eq!(document.stream_name, None);
        let file = &document.files[0];
        assert!(file.update_data_url.unwrap().as_plain().unwrap().ends_with("&X-Amz-Expires=1800"));
        assert_eq!(file.auth_scheme.unwrap(), "aws.s3.presigned");
        assert_eq!(file.cert_file.unwrap(), "test");
    }

    /// The form of older accounts, and of unsigned files.
    #[test]
    fn nulls_are_taken_for_absent_fields() {
        let text = with_file(
            r#","filepath":null,"certfile":null,"fileType":null,"update_data_url":null,"auth_scheme":null,"sig--":null"#,
        );
        let document = read(&text).unwrap().unwrap();
        let file = File { file_size: 1, ..File::default() };
        assert_eq!(document.files.as_slice(), [file]);
        let text = with_ota(r#"{"protocols":["HTTP"],"streamname":null,"files":[{"filesize":1,"fileid":0}]}"#);
        assert_eq!(read(&text).unwrap().unwrap().stream_name, None);
    }

    #[test]
    fn a_presigned_url_with_escapes_arrives_as_it_is_meant() {
        let text =
            with_file(r#","update_data_url":"https:\/\/b.s3.amazonaws.com\/fw?X-Amz-Date=1\u0026X-Amz-Signature=2""#);
        let file = &read(&text).unwrap().unwrap().files[0];
        let mut out = [0; 64];
        let url = file.update_data_url.unwrap().unescape(&mut out).unwrap();
        assert_eq!(url, "https://b.s3.amazonaws.com/fw?X-Amz-Date=1&X-Amz-Signature=2");
    }

    #[test]
    fn documents_of_somebody_else_are_none_of_ours() {
        for text in [r#"{"ToDo":"Reboot"}"#, "{}", "[]", "7", r#"{"afr_ota":null}"#, r#"{"x":{"afr_ota":{}}}"#] {
            assert_eq!(read(text), Ok(None), "{text}");
            assert_eq!(Document::is_update(RawJson::parse(text.as_bytes()).unwrap()), Ok(false), "{text}");
        }
        let is_update = |text: &'static str| Document::is_update(RawJson::parse(text.as_bytes()).unwrap());
        assert_eq!(is_update(r#"{"afr_ota":7}"#), Ok(true), "the rest is not parsed");
        assert_eq!(is_update(r#"{"afr_ota":7,"afr_ota":7}"#), Err(ParseError::Duplicate { field: "afr_ota" }));
    }

    #[test]
    fn every_kind_of_signature_is_read_and_the_strongest_is_taken() {
        for (kind, key) in SIGNATURE_KINDS {
            let text = with_file(&format!(r#","{key}":"QUJD""#));
            let file = &read(&text).unwrap().unwrap().files[0];
            assert_eq!(file.signature, Some(Signature { kind, base64: "QUJD".into() }));
        }
        let text = with_file(r#","sig-sha1-rsa":"QQ==","sig-sha512-rsa":"Qg==","sig-sha256-ecdsa":"Qw==""#);
        let file = &read(&text).unwrap().unwrap().files[0];
        assert_eq!(file.signature, Some(Signature { kind: SignatureKind::Sha256Ecdsa, base64: "Qw==".into() }));
        assert_eq!(SignatureKind::Sha256Ed25519.as_str(), "sig-sha256-ed25519");
        let text = with_file(r#","sig-sha512-ecdsa":"QQ==""#);
        assert_eq!(read(&text), Err(ParseError::UnknownSignatureKind));
        assert_eq!(read(&with_file("")).unwrap().unwrap().files[0].signature, None);
    }

    #[test]
    fn a_file_that_is_no_firmware_refuses_nothing() {
        for more in [r#","fileType":200,"sig-sha384-x":"QQ==""#, r#","fileType":1,"fileid":-1"#] {
            assert!(read(&with_file(more)).is_ok(), "{more}");
            let firmware =
                more.replace(r#""fileType":200"#, r#""fileType":0"#).replace(r#""fileType":1,"#, r#""fileType":10,"#);
            assert!(read(&with_file(&firmware)).is_err(), "{firmware}");
        }
    }

    #[test]
    fn protocols_that_nobody_knows_are_passed_over_unless_they_are_all() {
        let text = |protocols| {
            with_ota(&format!(r#"{{"protocols":{protocols},"streamname":"s","files":[{{"filesize":1,"fileid":0}}]}}"#))
        };
        let both = Protocols { mqtt: true, http: true };
        assert_eq!(read(&text(r#"["HTTP","COAP","MQTT"]"#)).unwrap().unwrap().protocols, both);
        for protocols in ["[]", r#"["COAP"]"#, r#"["mqtt"]"#] {
            assert_eq!(read(&text(protocols)), Err(ParseError::UnknownProtocol), "{protocols}");
        }
        assert_eq!(read(&text("[7]")), Err(ParseError::WrongType { field: "protocols" }));
        assert_eq!(read(&text(r#""MQTT""#)), Err(ParseError::WrongType { field: "protocols" }));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (ota, field) in [
            ("{}", "protocols"),
            (r#"{"protocols":["MQTT"],"files":[]}"#, "streamname"),
            (r#"{"protocols":["HTTP"]}"#, "files"),
            (r#"{"protocols":["HTTP"],"files":[]}"#, "files"),
            (r#"{"protocols":["HTTP"],"files":[{"fileid":0}]}"#, "filesize"),
            (r#"{"protocols":["HTTP"],"files":[{"filesize":0}]}"#, "fileid"),
        ] {
            assert_eq!(read(&with_ota(ota)), Err(ParseError::Missing { field }), "{ota}");
            assert_eq!(Reason::from(read(&with_ota(ota)).unwrap_err()), Reason::DocumentFieldMissing);
        }
    }

    #[test]
    fn a_member_that_a_device_does_not_need_may_have_any_value() {
        let file = |more: &str| {
            with_ota(&format!(r#"{{"protocols":["HTTP"],"files":[{{"filesize":1,"fileid":0{more}}}],"x":[]}}"#))
        };
        let least = file("");
        let least = read(&least).map(|document| document.map(|document| document.files[0].clone()));
        for more in [
            r#""filepath":{}"#,
            r#""filepath":"\ud800""#,
            r#""certfile":7"#,
            r#""certfile":"a","certfile":"b""#,
            r#""auth_scheme":[1]"#,
            r#""attr":{"a":null}"#,
        ] {
            let text = file(&format!(",{more}"));
            let read = read(&text).map(|document| document.map(|document| document.files[0].clone()));
            assert_eq!(read, least, "{more}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_numbers() {
        let size = |got| ParseError::OutOfRange { field: "filesize", got, min: 0, max: u32::MAX.into() };
        let wrong = |field| ParseError::WrongType { field };
        let long = "s".repeat(129);
        let five = [r#"{"filesize":1,"fileid":0}"#; 5].join(",");
        let http = |file: &str| with_ota(&format!(r#"{{"protocols":["HTTP"],"files":[{file}]}}"#));
        for (text, error) in [
            (http(r#"{"filesize":4294967296,"fileid":0}"#), size(1 << 32)),
            (http(r#"{"filesize":99999999999999999999,"fileid":0}"#), size(u64::MAX)),
            (http(r#"{"filesize":-1,"fileid":0}"#), wrong("filesize")),
            (http(r#"{"filesize":1.5,"fileid":0}"#), wrong("filesize")),
            (
                http(r#"{"filesize":1,"fileid":256}"#),
                ParseError::OutOfRange { field: "fileid", got: 256, min: 0, max: 255 },
            ),
            (http(r#"{"filesize":1,"fileid":0,"update_data_url":{}}"#), wrong("update_data_url")),
            (
                http(r#"{"filesize":1,"fileid":0,"update_data_url":"\ud800"}"#),
                ParseError::LoneSurrogate { field: "update_data_url" },
            ),
            (http(r#"{"filesize":1,"filesize":2,"fileid":0}"#), ParseError::Duplicate { field: "filesize" }),
            (http("7"), wrong("files")),
            (http(&five), ParseError::TooMany { field: "files", got: 5, max: 4 }),
            (with_ota("7"), wrong("afr_ota")),
            (
                with_ota(&format!(r#"{{"protocols":["MQTT"],"streamname":"{long}"}}"#)),
                FieldError::TooLong { field: "streamname", got: 129, max: 128 }.into(),
            ),
            (
                with_ota(r#"{"protocols":["MQTT"],"streamname":"a\/b"}"#),
                FieldError::Character { field: "streamname", at: 1 }.into(),
            ),
        ] {
            assert_eq!(read(&text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_written_means_what_aws_sends() {
        for golden in [MQTT, HTTP] {
            let mut out = [0; 1024];
            let len = of(golden).emit(&mut out).unwrap();
            let ours: serde_json::Value = serde_json::from_slice(&out[..len]).unwrap();
            let theirs: serde_json::Value = serde_json::from_slice(golden).unwrap();
            assert_eq!(ours, theirs["execution"]["jobDocument"]);
        }
    }

    #[test]
    fn only_true_forces_and_any_other_value_is_no_error() {
        let forced = |members: &str| {
            let text = with_file("").replace(r#"{"protocols""#, &format!(r#"{{{members}"protocols""#));
            read(&text).map(|document| document.is_some_and(|document| document.forced))
        };
        for (value, expected) in [("true", true), ("false", false), ("null", false), ("1", false), (r#""true""#, false)]
        {
            assert_eq!(forced(&format!(r#""forced":{value},"#)), Ok(expected), "{value}");
        }
        assert_eq!(forced(""), Ok(false));
    }

    proptest! {
        #[test]
        fn a_document_comes_back_as_it_was(
            protocols in 1u8..4, forced in any::<bool>(), stream in "[a-zA-Z0-9_-]{1,128}",
            files in proptest::collection::vec((any::<u32>(), 0u32..256, any::<Option<u32>>(), any::<[Option<String>; 4]>(), 0usize..6, any::<String>()), 1..=4),
        ) {
            let document = Document {
                protocols: Protocols { mqtt: protocols & 1 == 1, http: protocols & 2 == 2 },
                stream_name: Some(StreamName::new(&stream).unwrap()),
                files: files.iter().map(|(size, id, kind, texts, signature, base64)| File {
                    file_size: *size,
                    file_id: *id,
                    file_type: *kind,
                    file_path: texts[0].as_deref().map(JsonStr::plain),
                    cert_file: texts[1].as_deref().map(JsonStr::plain),
                    update_data_url: texts[2].as_deref().map(JsonStr::plain),
                    auth_scheme: texts[3].as_deref().map(JsonStr::plain),
                    signature: SIGNATURE_KINDS.get(*signature).map(|(kind, _)| Signature { kind: *kind, base64: base64.as_str().into() }),
                }).collect(),
                forced,
            };
            let mut out = vec![0; 32_768];
            let len = document.emit(&mut out).unwrap();
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&out[..len]).is_ok());
            let json = RawJson::parse(&out[..len]).unwrap();
            prop_assert_eq!(Document::parse(json).unwrap().unwrap(), document);
        }
    }
}
