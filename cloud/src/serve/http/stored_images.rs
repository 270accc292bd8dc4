//! The admin requests about images that were uploaded: the list, and the removal of one. The upload is in `admin.rs`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Extension, Json, Router};

use super::app::App;
use super::failure::{failure, store_failure};
use super::parts::Parameters;
use crate::api::{ImageList, ImageQuery};
use crate::model::Image;
use crate::serve::access::Principal;
use crate::serve::log::report_error;
use crate::store::{PageNumber, Removal, StoreError};

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/images", get(list)).route("/api/images/{name}", delete(remove))
}

async fn list(State(app): State<Arc<App>>, Parameters(query): Parameters<ImageQuery>) -> Response {
    let page = PageNumber::new(query.page);
    match app.store.images_page(page, query.sha256.as_deref()).await {
        Ok(mut images) => {
            if query.sha256.is_some() {
                // Asked in order to use one: an image whose file is lost has to be uploaded again.
                images.rows = usable(&app, images.rows).await;
            }
            let next = images.has_next.then(|| page.number().saturating_add(1));
            Json(ImageList { images: images.rows.into_iter().map(Into::into).collect(), next }).into_response()
        }
        Err(error) => store_failure(&error),
    }
}

/// Those whose file is there.
async fn usable(app: &App, rows: Vec<(Image, u64)>) -> Vec<(Image, u64)> {
    let mut usable = Vec::new();
    for row in rows {
        if app.files.image(&row.0.id).await.is_ok() {
            usable.push(row);
        }
    }
    usable
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
) -> Response {
    match delete_image(&app, &id, &sender.name).await {
        Ok(Removal::Done) => StatusCode::NO_CONTENT.into_response(),
        Ok(Removal::Unknown) => failure(StatusCode::NOT_FOUND, &format!("there is no image {id}")),
        Ok(Removal::UsedBy(user)) => failure(StatusCode::CONFLICT, &format!("image {id} is used by {user}")),
        Err(error) => store_failure(&error),
    }
}

/// Removes an image that nothing uses, for the account or token `by`.
async fn delete_image(app: &App, id: &str, by: &str) -> Result<Removal, StoreError> {
    let removed = app.store.delete_image(id, by).await?;
    if matches!(removed, Removal::Done)
        && let Err(error) = app.files.remove(id).await
    {
        // It is removed at the next start: the store does not have its image.
        report_error(format_args!("file of image {id}: {error}"));
    }
    Ok(removed)
}
