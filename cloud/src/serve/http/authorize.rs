//! Who may send which admin request: the bearer token is one of role viewer to read, operator to change something, and admin for
//! accounts and tokens.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::app::App;
use super::failure::{failure, store_failure};
use crate::role::Role;
use crate::serve::access::Principal;

/// Passes the holder of the token to the handler, if its role suffices for the method.
pub async fn authorize(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let sender = match app.access.by_token(token(request.headers())).await {
        Ok(Some(sender)) => sender,
        Ok(None) => return failure(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong"),
        Err(error) => return store_failure(&error),
    };
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if let Err(text) = sender.check(if reads { Role::Viewer } else { Role::Operator }) {
        return failure(StatusCode::FORBIDDEN, &text);
    }
    request.extensions_mut().insert(sender);
    next.run(request).await
}

/// Refuses a sender of another role than admin.
pub async fn require_admin(Extension(sender): Extension<Principal>, request: Request, next: Next) -> Response {
    match sender.check(Role::Admin) {
        Ok(()) => next.run(request).await,
        Err(text) => failure(StatusCode::FORBIDDEN, &text),
    }
}

/// The bearer token of a request; empty without one.
fn token(headers: &HeaderMap) -> &str {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // RFC 9110, section 11.1: the scheme is case-insensitive.
    let given =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    given.map_or("", |(_, token)| token.trim())
}
