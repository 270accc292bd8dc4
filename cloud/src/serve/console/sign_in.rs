//! Signing in by name and password or with a token, and signing out.

use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::form::Form;
use super::page::{Failure, Frame, page, redirect};
use super::{cookie, guard};
use crate::serve::access::{SignInRefusal, TooManySignIns};
use crate::serve::http::app::App;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    name: String,
    error: String,
    tls: bool,
}

fn answer(app: &App, status: StatusCode, name: String, error: &str) -> Response {
    page(status, &SignInPage { frame: Frame::outside(), name, error: error.to_owned(), tls: app.console.tls })
}

/// `GET /sign-in`.
pub async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    match guard::session(&app, &headers).await? {
        Some(_) => Ok(redirect(&headers, "/")),
        None => Ok(answer(&app, StatusCode::OK, String::new(), "")),
    }
}

/// `POST /sign-in`; without a name, the secret is a token. There is no session yet, so the form has no token of its own; its
/// origin is checked.
pub async fn sign_in(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let field = |wanted| form_urlencoded::parse(&body).find(|(name, _)| name == wanted);
    let text = |wanted| field(wanted).map(|(_, value)| value.into_owned()).unwrap_or_default();
    let (name, secret) = (text("name").trim().to_owned(), text("secret"));
    let found = match name.is_empty() {
        true => app.access.by_token(secret.trim()).await?.ok_or(SignInRefusal::Wrong),
        false => app.access.by_password(&name, secret, Instant::now()).await,
    };
    match found {
        Ok(principal) => {
            let id = app.console.sessions.begin(principal, Instant::now());
            Ok(([(header::SET_COOKIE, cookie::begin(&id, app.console.tls))], redirect(&headers, "/")).into_response())
        }
        Err(SignInRefusal::Wrong) if name.is_empty() => {
            Ok(answer(&app, StatusCode::UNAUTHORIZED, name, "There is no such token."))
        }
        Err(SignInRefusal::Wrong) => {
            Ok(answer(&app, StatusCode::UNAUTHORIZED, name, "The name or the password is wrong."))
        }
        Err(SignInRefusal::TooMany(TooManySignIns { wait })) => {
            let seconds = wait.as_secs() + 1;
            let text = format!("Too many sign-ins with this name failed. Try again in {seconds} seconds.");
            let retry = [(header::RETRY_AFTER, seconds.to_string())];
            Ok((retry, answer(&app, StatusCode::TOO_MANY_REQUESTS, name, &text)).into_response())
        }
        Err(SignInRefusal::Busy) => {
            let text = "Too many people sign in at this moment. Try again.";
            Ok(answer(&app, StatusCode::SERVICE_UNAVAILABLE, name, text))
        }
        Err(SignInRefusal::Store(error)) => Err(error.into()),
    }
}

/// `POST /sign-out`.
pub async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap, form: Form) -> Response {
    app.console.sessions.end(&form.session);
    ([(header::SET_COOKIE, cookie::end(app.console.tls))], redirect(&headers, "/sign-in")).into_response()
}
