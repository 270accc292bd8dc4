//! The page of accounts and tokens, for admins.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::form::Form;
use super::page::{Failure, Frame, page, redirect};
use super::sessions::Session;
use super::text::time;
use crate::model::Holder;
use crate::role::Role;
use crate::serve::access::{check_name, check_password};
use crate::serve::http::app::App;
use crate::store::HolderKind;

/// Path of the page.
const PATH: &str = "/access";

struct Row {
    name: String,
    role: Role,
    created: String,
}

#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    frame: Frame,
    accounts: Vec<Row>,
    tokens: Vec<Row>,
    roles: [Role; 3],
    /// Why the form of accounts, or that of tokens, was refused.
    account_error: String,
    token_error: String,
    /// A token that was added by the request.
    token: String,
}

/// `GET /access`.
pub async fn show(State(app): State<Arc<App>>, Extension(session): Extension<Session>) -> Result<Response, Failure> {
    Ok(page(StatusCode::OK, &access_page(&app, &session).await?))
}

/// `POST /access/accounts`: adds an account, or replaces its role and password.
pub async fn set_account(State(app): State<Arc<App>>, headers: HeaderMap, form: Form) -> Result<Response, Failure> {
    let (name, password) = (form.text("name").trim(), form.text("password"));
    let role = check_name(name).and_then(|()| check_password(password)).and_then(|()| form.text("role").parse());
    match role {
        Ok(role) => {
            app.access.set_account(name, role, password.to_owned(), &form.session.principal).await?;
            Ok(redirect(&headers, PATH))
        }
        Err(account_error) => {
            let shown = access_page(&app, &form.session).await?;
            Ok(page(StatusCode::UNPROCESSABLE_ENTITY, &AccessPage { account_error, ..shown }))
        }
    }
}

/// `POST /access/tokens`: adds a token, and shows it once.
pub async fn add_token(State(app): State<Arc<App>>, form: Form) -> Result<Response, Failure> {
    let name = form.text("name").trim();
    let refused = match check_name(name).and_then(|()| form.text("role").parse()) {
        Ok(role) => match app.access.add_token(name, role, &form.session.principal).await? {
            Some(token) => {
                let shown = access_page(&app, &form.session).await?;
                return Ok(page(StatusCode::CREATED, &AccessPage { token, ..shown }));
            }
            None => (StatusCode::CONFLICT, format!("token {name} exists already")),
        },
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error),
    };
    let (status, token_error) = refused;
    Ok(page(status, &AccessPage { token_error, ..access_page(&app, &form.session).await? }))
}

/// `POST /access/accounts/{name}/remove`.
pub async fn remove_account(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    app.access.remove(HolderKind::Account, &name, &form.session.principal).await?;
    Ok(redirect(&headers, PATH))
}

/// `POST /access/tokens/{name}/remove`.
pub async fn remove_token(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Failure> {
    app.access.remove(HolderKind::Token, &name, &form.session.principal).await?;
    Ok(redirect(&headers, PATH))
}

async fn access_page(app: &App, session: &Session) -> Result<AccessPage, Failure> {
    let rows = |holders: Vec<Holder>| holders.into_iter().map(row).collect();
    Ok(AccessPage {
        frame: Frame::new("access", session),
        accounts: rows(app.store.holders(HolderKind::Account).await?),
        tokens: rows(app.store.holders(HolderKind::Token).await?),
        roles: Role::ALL,
        account_error: String::new(),
        token_error: String::new(),
        token: String::new(),
    })
}

fn row(holder: Holder) -> Row {
    Row { name: holder.name, role: holder.role, created: time(holder.created_at_s) }
}
