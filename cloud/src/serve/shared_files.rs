//! Image files in the database: an upload is copied there before its image is added, and the data directory of each instance has
//! copies of those that it used. A copy is read as if it had been uploaded here.

use std::path::Path;
use std::sync::Arc;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use crate::limits::IMAGE_PIECE_BYTES;
use crate::store::{Store, StoreError};

/// The files in the database.
#[derive(Clone, Debug)]
pub struct SharedFiles {
    store: Store,
    /// Held by a copy to the directory: a fleet that resumes a download requests the same image.
    copying: Arc<Mutex<()>>,
}

impl SharedFiles {
    /// The files in this database.
    pub fn new(store: Store) -> Self {
        Self { store, copying: Arc::default() }
    }

    /// Copies a complete file to the database, one piece at a time.
    ///
    /// Errors: the pieces that were copied are removed with the image, or at the next start.
    pub async fn put(&self, image_id: &str, path: &Path) -> Result<(), StoreError> {
        let (mut file, mut position) = (File::open(path).await?, 0);
        let mut piece = Vec::with_capacity(IMAGE_PIECE_BYTES);
        loop {
            piece.clear();
            (&mut file).take(IMAGE_PIECE_BYTES as u64).read_to_end(&mut piece).await?;
            // Also an empty file has a piece: without one there is no file.
            if piece.is_empty() && position > 0 {
                return Ok(());
            }
            self.store.add_piece(image_id, position, &piece).await?;
            position += 1;
        }
    }

    /// Copies a file from the database, if it has one and the directory has none yet.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the rest is copied by the next call.
    pub async fn fetch(&self, image_id: &str, path: &Path) -> Result<(), StoreError> {
        let _copying = self.copying.lock().await;
        if path.exists() {
            return Ok(());
        }
        let Some(mut piece) = self.store.piece(image_id, 0).await? else { return Ok(()) };
        let part = path.with_extension("part");
        let (mut file, mut position) = (File::create(&part).await?, 0);
        loop {
            file.write_all(&piece).await?;
            position += 1;
            let Some(next) = self.store.piece(image_id, position).await? else { break };
            piece = next;
        }
        file.sync_all().await?;
        Ok(tokio::fs::rename(part, path).await?)
    }

    /// Removes a file from the database; it may be missing.
    pub async fn remove(&self, image_id: &str) -> Result<(), StoreError> {
        self.store.remove_pieces(image_id).await
    }

    /// Removes the files of images that the store does not have. No upload may be in progress.
    pub async fn remove_lost(&self) -> Result<(), StoreError> {
        self.store.remove_lost_pieces().await
    }

    /// Returns the secret of all instances, which is `own` if there was none.
    pub async fn secret(&self, name: &str, own: &str) -> Result<String, StoreError> {
        self.store.secret(name, own).await
    }
}
