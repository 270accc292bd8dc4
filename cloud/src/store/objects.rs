//! Objects of the S3 API: each is an image under a bucket and a key, and each upload is a version whose id is the image's.

use sqlx::Row;

use super::{Store, StoreError};
use crate::model::{Image, ObjectName};

impl Store {
    /// Adds a version of an object; its image is stored.
    pub async fn add_object(&self, name: &ObjectName, image_id: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO objects (bucket, key, image_id) VALUES ($1, $2, $3)")
            .bind(name.bucket.as_str())
            .bind(name.key.as_str())
            .bind(image_id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Returns the image of an object: of this version, or of the newest one.
    pub async fn object(&self, name: &ObjectName, version: Option<&str>) -> Result<Option<Image>, StoreError> {
        let row = sqlx::query(
            "SELECT image_id FROM objects WHERE bucket = $1 AND key = $2 AND ($3 IS NULL OR image_id = $3)
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(name.bucket.as_str())
        .bind(name.key.as_str())
        .bind(version)
        .fetch_optional(&self.pool)
        .await?;
        match row {
            Some(row) => self.image(row.try_get(0)?).await,
            None => Ok(None),
        }
    }

    /// Removes one version of an object, or all; their images are removed when no job refers to them.
    pub async fn delete_object(&self, name: &ObjectName, version: Option<&str>) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM objects WHERE bucket = $1 AND key = $2 AND ($3 IS NULL OR image_id = $3)")
            .bind(name.bucket.as_str())
            .bind(name.key.as_str())
            .bind(version)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
