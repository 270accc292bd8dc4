//! Removes images that no job refers to, when the service starts: uploads whose job was refused or never created, and image
//! files that the store does not have, because the service was killed before it stored their upload.

use super::files::Files;
use crate::limits::UNUSED_IMAGE_AGE;
use crate::store::{Store, StoreError};

/// Removes the images that are older than [`UNUSED_IMAGE_AGE`] at `now_s` and that no job refers to, and the files of images
/// that are not in the store. No upload may be in progress.
///
/// # Cancel safety
///
/// If the future is dropped, the rest is removed at the next start.
pub async fn remove(store: &Store, files: &Files, now_s: u64) -> Result<(), StoreError> {
    for id in store.unused_images(now_s.saturating_sub(UNUSED_IMAGE_AGE.as_secs())).await? {
        // The file first: while the store has the image, the removal is repeated.
        files.remove(&id).await?;
        store.remove_unused_image(&id).await?;
    }
    for id in files.image_ids()? {
        if store.image(&id).await?.is_none() {
            files.remove(&id).await?;
        }
    }
    files.remove_lost().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NewFile, NewJob};
    use crate::clock::now_s;
    use crate::limits::DATABASE_BYTES_MAX;
    use crate::model::Image;
    use crate::serve::jobs::job_admin;
    use crate::testing::TempDir;

    async fn upload(store: &Store, files: &Files) -> String {
        let stored = files.begin().unwrap().finish().unwrap();
        let (name, sha256) = ("fw.img".to_owned(), stored.sha256);
        let image = Image { id: stored.id, name, size_bytes: stored.size_bytes, sha256, signature: None };
        store.add_image(&image, "ann").await.unwrap();
        image.id
    }

    #[tokio::test]
    async fn a_file_whose_upload_was_not_stored_is_removed() {
        let dir = TempDir::new();
        let files = Files::open(dir.path()).unwrap();
        let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
        let kept = upload(&store, &files).await;
        let lost = files.begin().unwrap().finish().unwrap().id;
        std::fs::write(dir.path().join("images/notes.txt"), "not an upload").unwrap();
        remove(&store, &files, now_s()).await.unwrap();
        assert!(files.image(&kept).await.is_ok() && files.image("notes.txt").await.is_ok());
        assert!(files.image(&lost).await.is_err());
    }

    #[tokio::test]
    async fn an_image_that_no_job_refers_to_is_removed_after_a_day() {
        let dir = TempDir::new();
        let (files, begin_s) = (Files::open(dir.path()).unwrap(), now_s());
        let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
        let streamed = upload(&store, &files).await;
        let named = upload(&store, &files).await;
        let unused = upload(&store, &files).await;
        let without_file = upload(&store, &files).await;
        let file = NewFile {
            image: streamed.clone(),
            file_id: None,
            file_path: None,
            key_name: None,
            signature: None,
            file_type: None,
        };
        let things = vec!["lamp".to_owned()];
        let job = NewJob { things: things.clone(), files: vec![file], ..NewJob::default() };
        job_admin::create(&store, "streamed", &job, "ann", None).await.unwrap();
        let document = format!(r#"{{"url":"${{presigned-url:{named}}}"}}"#);
        let document = Some(serde_json::value::RawValue::from_string(document).unwrap());
        job_admin::create(&store, "custom", &NewJob { things, document, ..NewJob::default() }, "ann", None)
            .await
            .unwrap();

        remove(&store, &files, begin_s + UNUSED_IMAGE_AGE.as_secs()).await.unwrap();
        for id in [&streamed, &named, &unused, &without_file] {
            assert!(store.image(id).await.unwrap().is_some() && files.image(id).await.is_ok(), "younger than a day");
        }
        // A removal that was interrupted.
        files.remove(&without_file).await.unwrap();
        remove(&store, &files, now_s() + UNUSED_IMAGE_AGE.as_secs() + 1).await.unwrap();
        for (id, there) in [(&streamed, true), (&named, true), (&unused, false), (&without_file, false)] {
            assert_eq!(
                (store.image(id).await.unwrap().is_some(), files.image(id).await.is_ok()),
                (there, there),
                "{id}"
            );
        }
    }
}
