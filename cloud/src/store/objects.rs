//! Objects of the S3 API: each is an image under a bucket and a key, and each upload is a version whose id is the image's.

use std::collections::BTreeMap;

use sqlx::Row;

use super::{Store, StoreError};
use crate::model::{Image, ObjectName};

impl Store {
    /// Adds a version of an object with its metadata, values by name; its image is stored.
    pub async fn add_object(
        &self,
        name: &ObjectName,
        image_id: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO objects (bucket, key, image_id, metadata) VALUES ($1, $2, $3, $4)")
            .bind(name.bucket.as_str())
            .bind(name.key.as_str())
            .bind(image_id)
            .bind(serde_json::to_string(metadata).expect("texts"))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Returns the metadata of the version of an object that is this image; none if there is no such version.
    pub async fn object_metadata(&self, image_id: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT metadata FROM objects WHERE image_id = $1")
            .bind(image_id)
            .fetch_optional(&self.pool)
            .await?;
        let (metadata,) = row.unwrap_or_else(|| ("{}".to_owned(),));
        serde_json::from_str(&metadata).map_err(|_| StoreError::Damaged { column: "metadata" })
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
