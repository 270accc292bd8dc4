//! JSON of the requests about OTA updates. Members are those of the service model `iot` of botocore.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::AwsError;
use super::job_settings::{TargetSelection, TimeoutConfig};
use super::streams::S3Location;
use crate::api::Protocol;
use crate::job_config::{AbortConfig, AbortCriterion, JobConfig, RolloutConfig};
use crate::signature::kind;

/// The only hash that devices verify.
const HASH: &str = "SHA256";

/// CreateOTAUpdate.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateOtaUpdate {
    /// Description.
    pub description: Option<String>,
    /// ARNs of things and groups.
    pub targets: Vec<String>,
    /// MQTT by default.
    #[serde(default)]
    pub protocols: Vec<Protocol>,
    target_selection: Option<TargetSelection>,
    aws_job_executions_rollout_config: Option<RolloutConfig>,
    /// It has no effect: URLs are signed by the service, for its own time.
    aws_job_presigned_url_config: Option<Value>,
    aws_job_abort_config: Option<OtaAbortConfig>,
    /// Timer of executions.
    pub aws_job_timeout_config: Option<TimeoutConfig>,
    /// The files, in the order of their ids.
    pub files: Vec<OtaFile>,
    /// The role that AWS would assume.
    #[serde(rename = "roleArn")]
    _role_arn: String,
    /// They have no effect.
    #[serde(default)]
    additional_parameters: BTreeMap<String, String>,
    /// Tags of the account's resources; they have no effect, and are not kept.
    #[serde(default, rename = "tags")]
    _tags: Value,
}

/// Abort criteria, under the name that this request has for them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OtaAbortConfig {
    abort_criteria_list: Vec<AbortCriterion>,
}

/// What GetOTAUpdate returns of the request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    targets: Vec<String>,
    protocols: Vec<Protocol>,
    target_selection: TargetSelection,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_job_executions_rollout_config: Option<RolloutConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_job_presigned_url_config: Option<Value>,
    ota_update_files: Vec<OtaFile>,
    additional_parameters: BTreeMap<String, String>,
}

impl CreateOtaUpdate {
    /// Whether things that join a group of the job get it.
    pub fn is_continuous(&self) -> bool {
        self.target_selection == Some(TargetSelection::Continuous)
    }

    /// Rate and abort criteria.
    pub fn config(&self) -> JobConfig {
        let abort = self.aws_job_abort_config.clone();
        JobConfig {
            rollout: self.aws_job_executions_rollout_config.clone(),
            abort: abort.map(|abort| AbortConfig { criteria_list: abort.abort_criteria_list }),
            ..JobConfig::default()
        }
    }

    /// What GetOTAUpdate returns of it.
    pub fn stored(self) -> Stored {
        Stored {
            description: self.description,
            targets: self.targets,
            protocols: self.protocols,
            target_selection: self.target_selection.unwrap_or_default(),
            aws_job_executions_rollout_config: self.aws_job_executions_rollout_config,
            aws_job_presigned_url_config: self.aws_job_presigned_url_config,
            ota_update_files: self.files,
            additional_parameters: self.additional_parameters,
        }
    }
}

/// A file of an update.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OtaFile {
    /// Path on the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Type, which the device defines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_type: Option<u8>,
    /// Not sent to devices, as at AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_version: Option<String>,
    /// Where it is.
    pub file_location: FileLocation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code_signing: Option<CodeSigning>,
    /// Not sent to devices, as at AWS.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// One of both.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileLocation {
    /// A file of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamLocation>,
    /// An object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_location: Option<S3Location>,
}

/// A file of a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamLocation {
    /// The stream.
    pub stream_id: String,
    /// The file's id in it.
    pub file_id: u8,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CodeSigning {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    custom_code_signing: Option<CustomCodeSigning>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aws_signer_job_id: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_signing_job_parameter: Option<Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CustomCodeSigning {
    signature: InlineSignature,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate_chain: Option<CertificateChain>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash_algorithm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature_algorithm: Option<String>,
}

/// Base64 of the signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InlineSignature {
    inline_document: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CertificateChain {
    /// Name of the verification key on the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate_name: Option<String>,
    /// Not sent to devices, as at AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inline_document: Option<String>,
}

impl OtaFile {
    /// Returns the signature in base64 and the name of the key; without a signature, that of the image counts.
    ///
    /// Errors: `InvalidRequestException` for a signing service, and for an algorithm that is not that of the signature.
    pub fn signature(&self) -> Result<(Option<String>, Option<String>), AwsError> {
        let Some(signing) = &self.code_signing else { return Ok((None, None)) };
        let Some(custom) = &signing.custom_code_signing else {
            return Err(AwsError::invalid("there is no signing service here: codeSigning has customCodeSigning"));
        };
        let text = signature_text(&custom.signature.inline_document)?;
        if let Some(hash) = custom.hash_algorithm.as_ref().filter(|hash| *hash != HASH) {
            return Err(AwsError::invalid(format!("hashAlgorithm of {hash:?}, {HASH} is taken")));
        }
        let member = kind(&text).as_str();
        let other = custom.signature_algorithm.as_ref().filter(|name| !member.ends_with(&name.to_ascii_lowercase()));
        if let Some(algorithm) = other {
            return Err(AwsError::invalid(format!("signatureAlgorithm of {algorithm:?}, the signature is {member}")));
        }
        let key_name = custom.certificate_chain.as_ref().and_then(|chain| chain.certificate_name.clone());
        Ok((Some(text), key_name))
    }
}

/// Returns the signature as base64 of its bytes. Version 1 of the command line encodes such a text once more.
fn signature_text(inline: &str) -> Result<String, AwsError> {
    let bytes = STANDARD.decode(inline).map_err(|_| AwsError::invalid("inlineDocument is not base64"))?;
    match String::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && STANDARD.decode(text.trim_end()).is_ok() => Ok(text.trim_end().to_owned()),
        _ => Ok(inline.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(signing: &str) -> OtaFile {
        serde_json::from_str(&format!(r#"{{"fileLocation":{{}},"codeSigning":{signing}}}"#)).unwrap()
    }

    #[test]
    fn the_signature_arrives_as_it_is_in_a_job_document() {
        // The begin of a SEQUENCE of two INTEGERs is taken for ECDSA.
        let der = STANDARD.encode([0x30, 0x45, 0x02, 0x21, 0xFF, 0xFE]);
        for inline in [der.clone(), STANDARD.encode(&der), STANDARD.encode(format!("{der}\n"))] {
            let signing = format!(
                r#"{{"customCodeSigning":{{"signature":{{"inlineDocument":"{inline}"}},"hashAlgorithm":"SHA256",
                   "signatureAlgorithm":"ECDSA","certificateChain":{{"certificateName":"main"}}}}}}"#
            );
            assert_eq!(file(&signing).signature().unwrap(), (Some(der.clone()), Some("main".to_owned())));
        }
    }

    #[test]
    fn what_no_device_could_verify_is_refused() {
        let custom =
            |rest: &str| format!(r#"{{"customCodeSigning":{{"signature":{{"inlineDocument":"MEUC"}}{rest}}}}}"#);
        for signing in [
            "{}".to_owned(),
            r#"{"awsSignerJobId":"1"}"#.to_owned(),
            custom(r#","hashAlgorithm":"SHA-256""#),
            custom(r#","hashAlgorithm":"SHA1""#),
            custom(r#","signatureAlgorithm":"RSA""#),
            custom("").replace("MEUC", "no base64"),
        ] {
            assert!(file(&signing).signature().is_err(), "{signing}");
        }
        assert!(file(&custom("")).signature().is_ok());
    }
}
