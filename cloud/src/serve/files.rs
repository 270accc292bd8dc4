//! The data directory: image files and secrets. A file gets its final name only when it is complete on disk. With a database that
//! several instances share, the directory has copies.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};

use super::shared_files::SharedFiles;
use crate::limits::IMAGE_BYTES_MAX;
use crate::store::StoreError;

/// Length of an image id. Unit: random bytes.
const ID_BYTES: usize = 16;
/// Only the owner can read secrets.
const SECRET_MODE: u32 = 0o600;

/// Files below the data directory.
#[derive(Clone, Debug)]
pub struct Files {
    dir: PathBuf,
    /// Where other instances find them.
    shared: Option<SharedFiles>,
}

/// A completed upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// New id of the image.
    pub id: String,
    /// Length.
    pub size_bytes: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// Why an upload failed.
#[derive(Debug)]
pub enum UploadError {
    /// The image is too large.
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// The body paused for too long, or ended early.
    Body(String),
    /// The disk is full, or another I/O error.
    Store(StoreError),
}

impl From<std::io::Error> for UploadError {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Locks the data directory for this process until the returned file is closed; creates the directory if missing.
/// Returns `None` if another process has locked it.
pub fn lock(dir: &Path) -> Result<Option<File>, StoreError> {
    std::fs::create_dir_all(dir)?;
    let file = File::options().write(true).create(true).truncate(false).mode(SECRET_MODE).open(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

impl Files {
    /// Creates missing directories and removes the files of interrupted uploads.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir.join("images"))?;
        let files = Self { dir: dir.to_owned(), shared: None };
        for entry in std::fs::read_dir(dir.join("images"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                std::fs::remove_file(path)?;
            }
        }
        Ok(files)
    }

    /// Lets other instances find the files.
    pub fn shared(self, shared: SharedFiles) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// Starts an upload.
    pub fn begin(&self) -> Result<Upload, StoreError> {
        let id = random_hex::<ID_BYTES>();
        let path = self.path(&id).with_extension("part");
        let file = File::create_new(&path)?;
        Ok(Upload { id, path, file, size_bytes: 0, digest: Context::new(&SHA256) })
    }

    /// Returns the ids of the complete image files.
    pub fn image_ids(&self) -> Result<Vec<String>, StoreError> {
        let names = std::fs::read_dir(self.dir.join("images"))?.map(|entry| Ok(entry?.file_name()));
        let names: Vec<_> = names.collect::<std::io::Result<_>>()?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).filter(|name| is_id(name)).collect())
    }

    /// Lets other instances find the file of an upload.
    pub async fn share(&self, stored: &StoredImage) -> Result<(), StoreError> {
        match &self.shared {
            Some(shared) => shared.put(&stored.id, &self.path(&stored.id)).await,
            None => Ok(()),
        }
    }

    /// Opens the file of an image.
    ///
    /// `image_id` becomes part of a path: it must come from the store.
    pub async fn image(&self, image_id: &str) -> Result<Arc<File>, StoreError> {
        let path = self.path(image_id);
        if let (Some(shared), false) = (&self.shared, path.exists()) {
            shared.fetch(image_id, &path).await?;
        }
        Ok(Arc::new(File::open(path)?))
    }

    /// Removes the file of an image; it may be missing.
    ///
    /// `image_id` becomes part of a path: it must come from the store.
    pub async fn remove(&self, image_id: &str) -> Result<(), StoreError> {
        if let Some(shared) = &self.shared {
            shared.remove(image_id).await?;
        }
        match std::fs::remove_file(self.path(image_id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes the shared files of images that the store does not have. No upload may be in progress.
    pub async fn remove_lost(&self) -> Result<(), StoreError> {
        match &self.shared {
            Some(shared) => shared.remove_lost().await,
            None => Ok(()),
        }
    }

    /// Returns a secret of `LEN` bytes, stored in hexadecimal in a file that only the owner can read; creates it if missing. If
    /// instances share one, it replaces that of the file.
    ///
    /// Errors: `NotASecret` if the file has other content.
    pub async fn secret<const LEN: usize>(&self, name: &str) -> Result<[u8; LEN], StoreError> {
        let path = self.dir.join(name);
        if !path.exists() {
            write_secret(&path, &random_hex::<LEN>())?;
        }
        let own = read_secret(path.clone())?;
        let Some(shared) = &self.shared else { return Ok(own) };
        let text = shared.secret(name, &hex::encode(own)).await?;
        if text != hex::encode(own) {
            write_secret(&path, &text)?;
        }
        read_secret(path)
    }

    /// Whether this secret was stored.
    pub fn has_secret(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    fn path(&self, image_id: &str) -> PathBuf {
        self.dir.join("images").join(image_id)
    }
}

/// An upload in progress. The file is removed if the upload is dropped before it is finished.
pub struct Upload {
    id: String,
    path: PathBuf,
    file: File,
    size_bytes: u64,
    digest: Context,
}

impl Upload {
    /// Appends bytes. Blocks on disk I/O.
    ///
    /// Errors: `TooLarge`; `Store` with `Full`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > IMAGE_BYTES_MAX {
            return Err(UploadError::TooLarge { max: IMAGE_BYTES_MAX });
        }
        self.digest.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    /// Syncs the file and gives it its final name. Blocks on disk I/O.
    pub fn finish(mut self) -> Result<StoredImage, UploadError> {
        self.file.sync_all()?;
        let target = self.path.with_extension("");
        std::fs::rename(&self.path, &target)?;
        if let Some(dir) = target.parent() {
            File::open(dir)?.sync_all()?;
        }
        let digest = std::mem::replace(&mut self.digest, Context::new(&SHA256)).finish();
        Ok(StoredImage { id: self.id.clone(), size_bytes: self.size_bytes, sha256: hex::encode(digest.as_ref()) })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // After `finish` no file has this name. If the removal fails, `Files::open` removes the file at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The file is complete before it gets its name, so a power cut leaves no partial secret.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let mut file = File::options().write(true).create(true).truncate(true).mode(SECRET_MODE).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

fn read_secret<const LEN: usize>(path: PathBuf) -> Result<[u8; LEN], StoreError> {
    let bytes = hex::decode(std::fs::read(&path)?.trim_ascii_end()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(StoreError::NotASecret { path })
}

/// Reads exactly `len` bytes at `offset` on a blocking thread.
///
/// Errors: `Io` with `UnexpectedEof` if the file is shorter.
///
/// # Cancel safety
///
/// Dropping the future discards the result; the read itself is finished.
pub async fn read_at(file: &Arc<File>, offset: u64, len: usize) -> Result<Bytes, StoreError> {
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset).map(|()| Bytes::from(bytes))
    });
    Ok(read.await.map_err(std::io::Error::other)??)
}

/// Whether a file in the directory of images was named by [`Files::begin`].
fn is_id(name: &str) -> bool {
    hex::decode(name).is_ok_and(|bytes| bytes.len() == ID_BYTES)
}

/// Returns `LEN` random bytes in hexadecimal.
pub fn random_hex<const LEN: usize>() -> String {
    let mut bytes = [0; LEN];
    SystemRandom::new().fill(&mut bytes).expect("the system provides random numbers");
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_upload_has_a_name_only_when_it_is_complete() {
        let dir = TempDir::new();
        let files = Files::open(dir.path()).unwrap();
        let listed = || std::fs::read_dir(dir.path().join("images")).unwrap().count();
        let mut upload = files.begin().unwrap();
        upload.write(b"abc").unwrap();
        drop(upload);
        assert_eq!(listed(), 0, "given up");
        let mut upload = files.begin().unwrap();
        upload.write(b"ab").unwrap();
        upload.write(b"c").unwrap();
        let stored = upload.finish().unwrap();
        assert_eq!(stored.size_bytes, 3);
        // FIPS 180-4, example "abc".
        assert_eq!(stored.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(std::fs::read(dir.path().join("images").join(&stored.id)).unwrap(), b"abc");
    }

    #[test]
    fn what_an_interrupted_upload_left_is_gone_after_a_restart() {
        let dir = TempDir::new();
        std::fs::create_dir_all(dir.path().join("images")).unwrap();
        std::fs::write(dir.path().join("images/0123.part"), b"half").unwrap();
        std::fs::write(dir.path().join("images/4567"), b"whole").unwrap();
        Files::open(dir.path()).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(dir.path().join("images")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["4567"]);
    }

    #[test]
    fn a_data_directory_has_one_service_at_a_time() {
        let dir = TempDir::new();
        let first = lock(&dir.path().join("new")).unwrap();
        assert!(first.is_some());
        assert!(lock(&dir.path().join("new")).unwrap().is_none());
        drop(first);
        assert!(lock(&dir.path().join("new")).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_secret_stays_and_is_the_owners_alone() {
        let dir = TempDir::new();
        let files = Files::open(dir.path()).unwrap();
        let first: [u8; 32] = files.secret("token").await.unwrap();
        assert_eq!(first, files.secret::<32>("token").await.unwrap());
        let mode = std::fs::metadata(dir.path().join("token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SECRET_MODE);
        std::fs::write(dir.path().join("token"), "something else").unwrap();
        let refused = files.secret::<32>("token").await.unwrap_err();
        assert!(matches!(&refused, StoreError::NotASecret { path } if *path == dir.path().join("token")), "{refused}");
    }
}
