//! Streams that were created apart from a job: names, and files that are objects of the S3 API.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, int, uint};
use crate::model::{AuditNote, ObjectName, Stream, StreamObject};

impl Store {
    /// Stores a stream with its files; returns false if there is one with this id, and then changes nothing. `by`: the account or
    /// token that does it.
    pub async fn create_stream(&self, stream: &Stream, files: &[StreamObject], by: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "INSERT INTO streams (id, description, role_arn, created_at_s) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(stream.id.as_str())
        .bind(stream.description.as_deref())
        .bind(stream.role_arn.as_str())
        .bind(int(stream.created_at_s))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        for file in files {
            sqlx::query(
                "INSERT INTO stream_objects (stream, file_id, bucket, key, image_id) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(stream.id.as_str())
            .bind(i64::from(file.file_id))
            .bind(file.object.bucket.as_str())
            .bind(file.object.key.as_str())
            .bind(file.image_id.as_str())
            .execute(&mut *tx)
            .await?;
        }
        self.commit_with_note(tx, &note(&stream.id, "created", by)).await?;
        Ok(true)
    }

    /// Returns the stream with this id.
    pub async fn stream(&self, id: &str) -> Result<Option<Stream>, StoreError> {
        let row = sqlx::query("SELECT id, description, role_arn, created_at_s FROM streams WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(stream).transpose()
    }

    /// Returns the files of a stream, by file id.
    pub async fn stream_objects(&self, id: &str) -> Result<Vec<StreamObject>, StoreError> {
        let rows =
            sqlx::query("SELECT file_id, bucket, key, image_id FROM stream_objects WHERE stream = $1 ORDER BY file_id")
                .bind(id)
                .fetch_all(&self.pool)
                .await?;
        let object = |row: &AnyRow| {
            let file_id = u8::try_from(row.try_get::<i64, _>(0)?);
            Ok(StreamObject {
                file_id: file_id.map_err(|_| StoreError::Damaged { column: "file_id" })?,
                object: ObjectName { bucket: row.try_get(1)?, key: row.try_get(2)? },
                image_id: row.try_get(3)?,
            })
        };
        rows.iter().map(object).collect()
    }

    /// Returns streams after `after`, sorted by id, at most `limit`.
    pub async fn listed_streams(&self, after: &str, limit: i64) -> Result<Vec<Stream>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, description, role_arn, created_at_s FROM streams WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(stream).collect()
    }

    /// Removes a stream; returns whether it existed. `by`: the account or token that does it.
    pub async fn delete_stream(&self, id: &str, by: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("DELETE FROM stream_objects WHERE stream = $1").bind(id).execute(&mut *tx).await?;
        let done = sqlx::query("DELETE FROM streams WHERE id = $1").bind(id).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.commit_with_note(tx, &note(id, "deleted", by)).await?;
        self.streams_changed();
        Ok(true)
    }
}

fn note(id: &str, text: &str, by: &str) -> AuditNote {
    AuditNote::new("stream", format!("{id}: {text}")).by(by)
}

fn stream(row: &AnyRow) -> Result<Stream, StoreError> {
    Ok(Stream {
        id: row.try_get(0)?,
        description: row.try_get(1)?,
        role_arn: row.try_get(2)?,
        created_at_s: uint(row.try_get(3)?, "created_at_s")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Image, Job, JobDetails};
    use crate::store::NewJobRecord;
    use crate::testing::on_each_database;

    /// A job for one thing, with this document.
    async fn create_job(store: &Store, id: &str, thing: &str, document: &str) -> Job {
        let job = Job {
            id: id.to_owned(),
            document: document.to_owned(),
            stream: None,
            timeout_s: None,
            canceled: false,
            canceled_by_force: false,
            paused: false,
            details: JobDetails::default(),
            config: crate::job_config::JobConfig::default(),
            continuous: false,
            created_at_s: 1,
        };
        let record =
            NewJobRecord { job: &job, things: &[thing.to_owned()], files: &[], groups: &[], by: "test", release: None };
        store.create_job(&record).await.unwrap();
        job
    }

    #[tokio::test]
    async fn a_stream_is_for_the_things_of_jobs_whose_document_names_it() {
        on_each_database(async |store| {
            let image =
                Image { id: "0a".into(), name: "v1".into(), size_bytes: 9, sha256: String::new(), signature: None };
            store.add_image(&image, "test").await.unwrap();
            let object = ObjectName { bucket: "images".into(), key: "v1".into() };
            store.add_object(&object, "0a", &Default::default()).await.unwrap();
            let stream = Stream { id: "first".into(), description: None, role_arn: "role".into(), created_at_s: 1 };
            let files = [StreamObject { file_id: 3, object, image_id: "0a".into() }];
            let names_it = r#"{"afr_ota":{"streamname":"first"}}"#;
            let job = create_job(&store, "named", "lamp", names_it).await;
            create_job(&store, "twice", "lamp", names_it).await;
            create_job(&store, "other", "door", r#"{"afr_ota":{"streamname":"second"},"streamname":"first"}"#).await;
            assert!(store.stream_files("lamp", "first").await.unwrap().is_empty(), "it is created later");
            assert!(store.create_stream(&stream, &files, "ann").await.unwrap());
            assert!(!store.create_stream(&stream, &[], "ann").await.unwrap());

            let found = store.stream_files("lamp", "first").await.unwrap();
            assert_eq!((found.len(), found[0].file_id, found[0].size_bytes), (1, 3, 9));
            assert!(store.stream_files("door", "first").await.unwrap().is_empty());
            let before = store.stream_changes();
            assert_eq!(store.delete_job(&job, "test").await.unwrap(), ["lamp"]);
            assert_ne!(store.stream_changes(), before);
            assert_eq!(store.stream_files("lamp", "first").await.unwrap().len(), 1, "of the other job");
            assert!(store.delete_stream("first", "ann").await.unwrap());
            assert!(store.stream_files("lamp", "first").await.unwrap().is_empty());
        })
        .await;
    }
}
