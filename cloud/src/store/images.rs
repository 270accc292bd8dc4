//! Metadata of images and of the streams that deliver them. The bytes are in files.

use sqlx::Row;

use super::{PageNumber, Paged, Store, StoreError, events, int, uint};
use crate::clock::now_s;
use crate::model::{AuditNote, Image, StreamFile};

/// The outcome of a deletion of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is deleted.
    Done,
    /// There is none with this id.
    Unknown,
    /// It stays: this job, stream, object or template uses it.
    UsedBy(String),
}

impl Store {
    /// Adds an image whose file is complete; `by`: the account or token that uploaded it.
    pub async fn add_image(&self, image: &Image, by: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO images (id, name, size_bytes, sha256, signature, created_at_s) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(image.id.as_str())
        .bind(image.name.as_str())
        .bind(int(image.size_bytes))
        .bind(image.sha256.as_str())
        .bind(image.signature.as_deref())
        .bind(int(now_s()))
        .execute(&mut *tx)
        .await?;
        let text = format!("{} of {} bytes, sha256 {}", image.name, image.size_bytes, image.sha256);
        let seq = events::add(&mut tx, &AuditNote::new("image", text).by(by)).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }

    /// Returns the image with this id.
    pub async fn image(&self, id: &str) -> Result<Option<Image>, StoreError> {
        let row = sqlx::query("SELECT id, name, size_bytes, sha256, signature FROM images WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(image).transpose()
    }

    /// Returns a page of the images, of all or of those with this digest, with the time of their upload in seconds since 1970,
    /// newest first.
    pub async fn images_page(&self, page: PageNumber, sha256: Option<&str>) -> Result<Paged<(Image, u64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, name, size_bytes, sha256, signature, created_at_s FROM images
             WHERE $3 IS NULL OR sha256 = $3 ORDER BY created_at_s DESC, id LIMIT $1 OFFSET $2",
        )
        .bind(PageNumber::limit())
        .bind(page.offset())
        .bind(sha256)
        .fetch_all(&self.pool)
        .await?;
        let with_time = |row| Ok((image(row)?, uint(row.try_get(5)?, "created_at_s")?));
        Ok(Paged::new(rows.iter().map(with_time).collect::<Result<_, StoreError>>()?))
    }

    /// Returns the ids of images that were added before `before_s` and to which no stream, object, custom document or template refers.
    pub async fn unused_images(&self, before_s: u64) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT id FROM images WHERE created_at_s < $1 AND id NOT IN (SELECT image_id FROM stream_files)
             AND id NOT IN (SELECT image_id FROM objects) AND id NOT IN (SELECT image_id FROM stream_objects)
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE stream IS NULL AND instr(document, images.id) > 0)
             AND NOT EXISTS (SELECT 1 FROM job_templates WHERE instr(settings, images.id) > 0)",
        )
        .bind(int(before_s))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Removes an image that no job refers to; its file is removed by the caller.
    ///
    /// Errors: `Database` if a stream refers to it.
    pub async fn remove_unused_image(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("DELETE FROM images WHERE id = $1").bind(id).execute(&mut *tx).await?;
        let text = format!("{id} removed: no job refers to it");
        let seq = events::add(&mut tx, &AuditNote::new("image", text)).await?;
        tx.commit().await?;
        self.announce(seq);
        Ok(())
    }

    /// Removes an image that nothing uses; its file is removed by the caller. `by`: the account or token that does it.
    pub async fn delete_image(&self, id: &str, by: &str) -> Result<Removal, StoreError> {
        let mut tx = self.pool.begin().await?;
        let user: Option<(String,)> = sqlx::query_as(
            "SELECT 'job ' || j.id FROM stream_files f JOIN jobs j ON j.stream = f.stream WHERE f.image_id = $1
             UNION ALL SELECT 'stream ' || stream FROM stream_objects WHERE image_id = $1
             UNION ALL SELECT 'the object ' || key || ' in ' || bucket FROM objects WHERE image_id = $1
             UNION ALL SELECT 'job ' || id FROM jobs WHERE stream IS NULL AND instr(document, $1) > 0
             UNION ALL SELECT 'job template ' || id FROM job_templates WHERE instr(settings, $1) > 0 LIMIT 1",
        )
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
        let name: Option<(String,)> =
            sqlx::query_as("SELECT name FROM images WHERE id = $1").bind(id).fetch_optional(&mut *tx).await?;
        match (name, user) {
            (None, _) => Ok(Removal::Unknown),
            (_, Some((user,))) => Ok(Removal::UsedBy(user)),
            (Some((name,)), None) => {
                sqlx::query("DELETE FROM images WHERE id = $1").bind(id).execute(&mut *tx).await?;
                self.commit_with_note(tx, &AuditNote::new("image", format!("{name} ({id}) deleted")).by(by)).await?;
                Ok(Removal::Done)
            }
        }
    }

    /// Returns the files of a stream if a job with it was created for this thing; none otherwise.
    pub async fn stream_files(&self, thing: &str, stream: &str) -> Result<Vec<StreamFile>, StoreError> {
        let rows = sqlx::query(
            "SELECT f.file_id, f.image_id, i.size_bytes FROM stream_files f
             JOIN images i ON i.id = f.image_id
             JOIN jobs j ON j.stream = f.stream
             JOIN executions e ON e.job_id = j.id
             WHERE f.stream = $1 AND e.thing = $2
             UNION SELECT o.file_id, o.image_id, i.size_bytes FROM stream_objects o
             JOIN images i ON i.id = o.image_id
             JOIN jobs j ON j.named_stream = o.stream
             JOIN executions e ON e.job_id = j.id
             WHERE o.stream = $1 AND e.thing = $2 ORDER BY 1",
        )
        .bind(stream)
        .bind(thing)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(stream_file).collect()
    }
}

/// Reads id, name, size, digest and signature from the first columns.
pub(super) fn image(row: &sqlx::any::AnyRow) -> Result<Image, StoreError> {
    Ok(Image {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        size_bytes: uint(row.try_get(2)?, "size_bytes")?,
        sha256: row.try_get(3)?,
        signature: row.try_get(4)?,
    })
}

fn stream_file(row: &sqlx::any::AnyRow) -> Result<StreamFile, StoreError> {
    let file_id = u32::try_from(row.try_get::<i64, _>(0)?);
    Ok(StreamFile {
        file_id: file_id.map_err(|_| StoreError::Damaged { column: "file_id" })?,
        image_id: row.try_get(1)?,
        size_bytes: uint(row.try_get(2)?, "size_bytes")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_each_database;

    /// What may use an image beside a job, in the order in which it comes to be, and what the refusal names.
    const USES: [(&str, &str); 3] = [
        ("INSERT INTO objects (bucket, key, image_id) VALUES ('b', 'k', 'id-1')", "the object k in b"),
        (
            "DELETE FROM objects; INSERT INTO streams (id, role_arn, created_at_s) VALUES ('s', '', 0);
             INSERT INTO stream_objects (stream, file_id, bucket, key, image_id) VALUES ('s', 0, 'b', 'k', 'id-1')",
            "stream s",
        ),
        (
            "DELETE FROM stream_objects; INSERT INTO job_templates (id, settings, created_at_s)
             VALUES ('t', '{\"document\":\"${presigned-url:id-1}\"}', 0)",
            "job template t",
        ),
    ];

    #[tokio::test]
    async fn an_image_stays_while_an_object_a_stream_or_a_template_uses_it() {
        on_each_database(async |store| {
            let name = || "id-1".to_owned();
            let image = Image { id: name(), name: name(), size_bytes: 1, sha256: String::new(), signature: None };
            store.add_image(&image, "ann").await.unwrap();
            for (change, user) in USES {
                sqlx::raw_sql(change).execute(&store.pool).await.unwrap();
                assert_eq!(store.delete_image("id-1", "ann").await.unwrap(), Removal::UsedBy(user.to_owned()));
                assert!(store.unused_images(u64::MAX >> 1).await.unwrap().is_empty(), "{user}");
            }
            sqlx::raw_sql("DELETE FROM job_templates").execute(&store.pool).await.unwrap();
            assert_eq!(store.unused_images(u64::MAX >> 1).await.unwrap(), ["id-1"]);
            assert_eq!(store.delete_image("id-1", "ann").await.unwrap(), Removal::Done);
            assert_eq!(store.delete_image("id-1", "ann").await.unwrap(), Removal::Unknown);
        })
        .await;
    }
}
