//! Accounts of people, and tokens of programs. Neither a password nor a token is stored, only what it is compared with.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, int, uint};
use crate::model::{AuditNote, Holder};
use crate::role::Role;

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// What its person may do.
    pub role: Role,
    /// Hash of its password, in PHC string format.
    pub password: String,
    /// Random text, renewed with the password.
    pub stamp: String,
}

/// The two kinds of holders of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderKind {
    /// People, who sign in with a password.
    Account,
    /// Programs, which send a token.
    Token,
}

impl HolderKind {
    /// Its word in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Token => "token",
        }
    }

    fn list(self) -> &'static str {
        match self {
            Self::Account => "SELECT name, role, created_at_s FROM accounts ORDER BY name",
            Self::Token => "SELECT name, role, created_at_s FROM tokens ORDER BY name",
        }
    }

    fn delete(self) -> &'static str {
        match self {
            Self::Account => "DELETE FROM accounts WHERE name = $1",
            Self::Token => "DELETE FROM tokens WHERE name = $1",
        }
    }
}

impl Store {
    /// Adds an account, or replaces its role and its password; returns whether it is new. `by`: who does it.
    pub async fn set_account(&self, name: &str, account: &Account, by: &str, now_s: u64) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query("UPDATE accounts SET role = $2, password = $3, stamp = $4 WHERE name = $1")
            .bind(name)
            .bind(account.role.as_str())
            .bind(&account.password)
            .bind(&account.stamp)
            .execute(&mut *tx)
            .await?;
        let is_new = done.rows_affected() == 0;
        if is_new {
            sqlx::query("INSERT INTO accounts (name, role, password, stamp, created_at_s) VALUES ($1, $2, $3, $4, $5)")
                .bind(name)
                .bind(account.role.as_str())
                .bind(&account.password)
                .bind(&account.stamp)
                .bind(int(now_s))
                .execute(&mut *tx)
                .await?;
        }
        let change = if is_new { "added" } else { "changed" };
        let text = format!("account {name} {change}, role {}", account.role);
        self.commit_with_note(tx, &AuditNote::new("access", text).by(by)).await?;
        Ok(is_new)
    }

    /// Replaces the password of an account with this stamp; returns false if there is none, and then changes nothing.
    pub async fn set_password(
        &self,
        name: &str,
        stamp: &str,
        password: &str,
        new_stamp: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query("UPDATE accounts SET password = $3, stamp = $4 WHERE name = $1 AND stamp = $2")
            .bind(name)
            .bind(stamp)
            .bind(password)
            .bind(new_stamp)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let note = AuditNote::new("access", format!("password of account {name} changed")).by(name);
        self.commit_with_note(tx, &note).await?;
        Ok(true)
    }

    /// Returns the account of this name.
    pub async fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        let row = sqlx::query("SELECT role, password, stamp FROM accounts WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        let account = |row: AnyRow| {
            Ok(Account { role: role(row.try_get(0)?)?, password: row.try_get(1)?, stamp: row.try_get(2)? })
        };
        row.map(account).transpose()
    }

    /// Adds a token; returns false if one has its name. `by`: who does it.
    pub async fn add_token(
        &self,
        name: &str,
        role: Role,
        digest: &str,
        by: &str,
        now_s: u64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "INSERT INTO tokens (name, role, digest, created_at_s) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(name)
        .bind(role.as_str())
        .bind(digest)
        .bind(int(now_s))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let text = format!("token {name} added, role {role}");
        self.commit_with_note(tx, &AuditNote::new("access", text).by(by)).await?;
        Ok(true)
    }

    /// Returns name and role of the token with this digest.
    pub async fn token(&self, digest: &str) -> Result<Option<(String, Role)>, StoreError> {
        let row = sqlx::query("SELECT name, role FROM tokens WHERE digest = $1")
            .bind(digest)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok((row.try_get(0)?, role(row.try_get(1)?)?))).transpose()
    }

    /// Returns all accounts or all tokens, sorted by name.
    pub async fn holders(&self, kind: HolderKind) -> Result<Vec<Holder>, StoreError> {
        let rows = sqlx::query(kind.list()).fetch_all(&self.pool).await?;
        let holder = |row: &AnyRow| {
            let created_at_s = uint(row.try_get(2)?, "created_at_s")?;
            Ok(Holder { name: row.try_get(0)?, role: role(row.try_get(1)?)?, created_at_s })
        };
        rows.iter().map(holder).collect()
    }

    /// Removes an account or a token; returns whether it existed. `by`: who does it.
    pub async fn remove_holder(&self, kind: HolderKind, name: &str, by: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(kind.delete()).bind(name).execute(&mut *tx).await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let text = format!("{} {name} removed", kind.as_str());
        self.commit_with_note(tx, &AuditNote::new("access", text).by(by)).await?;
        Ok(true)
    }
}

pub(super) fn role(text: String) -> Result<Role, StoreError> {
    text.parse().map_err(|_| StoreError::Damaged { column: "role" })
}
