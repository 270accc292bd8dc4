//! What takes the place of the data directory in a PostgreSQL database: the files of images, in pieces, and the secrets.

use super::{Store, StoreError, int};

impl Store {
    /// Whether files and secrets are in the database, for other instances.
    pub fn has_files(&self) -> bool {
        self.taken_over.is_some()
    }

    /// Adds a piece of the file of an image; the first has position 0.
    pub async fn add_piece(&self, image_id: &str, position: u64, bytes: &[u8]) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO image_pieces (image_id, position, bytes) VALUES ($1, $2, $3)")
            .bind(image_id)
            .bind(int(position))
            .bind(bytes)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Returns a piece of the file of an image; `None` behind the last one.
    pub async fn piece(&self, image_id: &str, position: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> =
            sqlx::query_as("SELECT bytes FROM image_pieces WHERE image_id = $1 AND position = $2")
                .bind(image_id)
                .bind(int(position))
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|(bytes,)| bytes))
    }

    /// Removes the file of an image; it may be missing.
    pub async fn remove_pieces(&self, image_id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM image_pieces WHERE image_id = $1").bind(image_id).execute(&self.pool).await?;
        Ok(())
    }

    /// Removes the files of images that the store does not have. No upload may be in progress.
    pub async fn remove_lost_pieces(&self) -> Result<(), StoreError> {
        let lost = "DELETE FROM image_pieces WHERE image_id NOT IN (SELECT id FROM images)";
        sqlx::query(lost).execute(&self.pool).await?;
        Ok(())
    }

    /// Returns the secret of this name, which is `value` from now on if there was none.
    pub async fn secret(&self, name: &str, value: &str) -> Result<String, StoreError> {
        sqlx::query("INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(value)
            .execute(&self.pool)
            .await?;
        let (value,): (String,) =
            sqlx::query_as("SELECT value FROM secrets WHERE name = $1").bind(name).fetch_one(&self.pool).await?;
        Ok(value)
    }
}
