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
use crate::serve::access::Principal;
use crate::store::{PageNumber, Removed, StoreError};

/// The routes; the caller adds the check of the sender.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/api/images", get(list)).route("/api/images/{name}", delete(remove))
}

async fn list(State(app): State<Arc<App>>, Parameters(query): Parameters<ImageQuery>) -> Response {
    let page = PageNumber::new(query.page);
    match app.store.images_page(page, query.sha256.as_deref()).await {
        Ok(images) => {
            let next = images.has_next.then(|| page.number().saturating_add(1));
            Json(ImageList { images: images.rows.into_iter().map(Into::into).collect(), next }).into_response()
        }
        Err(error) => store_failure(&error),
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(sender): Extension<Principal>,
    Path(id): Path<String>,
) -> Response {
    match delete_image(&app, &id, &sender.name).await {
        Ok(Removed::Done) => StatusCode::NO_CONTENT.into_response(),
        Ok(Removed::Unknown) => failure(StatusCode::NOT_FOUND, &format!("there is no image {id}")),
        Ok(Removed::UsedBy(user)) => failure(StatusCode::CONFLICT, &format!("image {id} is used by {user}")),
        Err(error) => store_failure(&error),
    }
}

/// Removes an image that nothing uses, for the account or token `by`.
async fn delete_image(app: &App, id: &str, by: &str) -> Result<Removed, StoreError> {
    let removed = app.store.delete_image(id, by).await?;
    if matches!(removed, Removed::Done) {
        // A file that stays after an error is removed at the next start: the store does not have its image.
        app.files.remove(id)?;
    }
    Ok(removed)
}
