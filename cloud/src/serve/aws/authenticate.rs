//! Finds out who signed a request, before it is carried out.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use ring::digest::{SHA256, digest};

use super::error::{AwsError, Code};
use super::refusal::SignatureRefusal;
use super::sigv4::{Authorization, STS};
use crate::clock::now_s;
use crate::limits::ADMIN_BODY_BYTES_MAX;
use crate::role::Role;
use crate::serve::http::app::App;

/// Header with the digest of the body.
const CONTENT_SHA256: &str = "x-amz-content-sha256";

/// The signer of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Id of the access key.
    pub key_id: String,
    /// Region that the client is configured for: that of ARNs in the response.
    pub region: String,
}

/// How the body of a request to S3 was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// By its SHA-256, in hexadecimal.
    Sha256(String),
    /// Not at all.
    Unsigned,
    /// Not at all, and it is in chunks with a checksum behind them.
    Chunked,
}

/// Verifies the signature of a request to S3, whose body is not read. The caller and the [`Payload`] are added to its extensions:
/// that the body agrees with it is checked by who reads it.
///
/// Errors: why it is refused.
///
/// # Cancel safety
///
/// Dropping the future drops the request.
pub async fn authenticate_head(app: &App, claim: Authorization, request: Request) -> Result<Request, AwsError> {
    let (mut parts, body) = request.into_parts();
    let (secret, role) = key(app, &claim).await?;
    let claimed =
        parts.headers.get(CONTENT_SHA256).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let payload = match claimed.as_str() {
        "UNSIGNED-PAYLOAD" => Payload::Unsigned,
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Payload::Chunked,
        digest if digest.len() == 64 => Payload::Sha256(claimed.clone()),
        other => {
            return Err(AwsError::new(
                Code::NotImplemented,
                format!("{CONTENT_SHA256} of {other:?} is not taken here"),
            ));
        }
    };
    claim.verify(&secret, &parts, &claimed, now_s())?;
    admit(&mut parts, claim, role)?;
    parts.extensions.insert(payload);
    Ok(Request::from_parts(parts, body))
}

/// Returns the secret of the access key, and its role.
async fn key(app: &App, claim: &Authorization) -> Result<(String, Role), AwsError> {
    let role = app.store.access_key_role(&claim.key_id).await?.ok_or(SignatureRefusal::UnknownKey)?;
    Ok((app.aws.key_ring.secret(&claim.key_id), role))
}

/// Adds the signer of a verified request to it. A viewer's key reads; STS returns the identity of each key.
fn admit(parts: &mut Parts, claim: Authorization, role: Role) -> Result<(), SignatureRefusal> {
    let reads = matches!(parts.method, Method::GET | Method::HEAD) || claim.service == STS;
    if !reads && role < Role::Operator {
        let needed = Role::Operator;
        return Err(SignatureRefusal::Role(format!(
            "{} has the role {role}, this needs the role {needed}",
            claim.key_id
        )));
    }
    // The routes of pages may have matched the same path, and left its parameters.
    parts.extensions.clear();
    parts.extensions.insert(Caller { key_id: claim.key_id, region: claim.region });
    Ok(())
}

/// Verifies the signature of a request with a body of bounded length, which is read. The caller is added to its extensions.
///
/// Errors: why it is refused. The body of a request with an unknown key is not read.
///
/// # Cancel safety
///
/// Dropping the future drops the request.
pub async fn authenticate(app: &App, claim: Authorization, request: Request) -> Result<Request, AwsError> {
    let (mut parts, body) = request.into_parts();
    let (secret, role) = key(app, &claim).await?;
    let body = read(body).await?;
    verify(&claim, &secret, &parts, &body)?;
    admit(&mut parts, claim, role)?;
    Ok(Request::from_parts(parts, body.into()))
}

fn verify(claim: &Authorization, secret: &str, parts: &Parts, body: &Bytes) -> Result<(), SignatureRefusal> {
    let payload = hex::encode(digest(&SHA256, body));
    match parts.headers.get(CONTENT_SHA256) {
        Some(claimed) if claimed != payload.as_str() => Err(SignatureRefusal::Body),
        _ => claim.verify(secret, parts, &payload, now_s()),
    }
}

async fn read(body: Body) -> Result<Bytes, AwsError> {
    let (mut pieces, mut bytes) = (body.into_data_stream(), BytesMut::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| AwsError::invalid(format!("the body did not arrive: {error}")))?;
        if bytes.len() + piece.len() > ADMIN_BODY_BYTES_MAX {
            return Err(AwsError::new(Code::TooLarge, format!("a body has at most {ADMIN_BODY_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}
