//! Who sends a request, and what they may do: people by name and password, programs by token.
//!
//! The token of the data directory is one of role admin that is not in the store: it is there before any account is.

mod passwords;
mod sign_in_limit;

pub use passwords::check as check_password;
pub use sign_in_limit::TooManySignIns;

use std::time::Instant;

use self::passwords::Passwords;
use self::sign_in_limit::SignInLimit;
use crate::clock::now_s;
use crate::limits::{NAME_BYTES_MAX, TOKEN_BYTES};
use crate::role::Role;
use crate::serve::files::random_hex;
use crate::serve::secret::SecretDigest;
use crate::store::{Account, HolderKind, Store, StoreError};

/// The audit's name of the token of the data directory.
const DATA_TOKEN: &str = "first token";
/// Length of a stamp. Unit: random bytes.
const STAMP_BYTES: usize = 16;

/// The sender of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name in the audit.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// How it was recognised.
    pub credential: Credential,
}

impl Principal {
    /// Checks that its role suffices.
    ///
    /// Errors: the reason.
    pub fn check(&self, needed: Role) -> Result<(), String> {
        match self.role >= needed {
            true => Ok(()),
            false => Err(format!("{} has the role {}, this needs the role {needed}", self.name, self.role)),
        }
    }
}

/// What a session refers to, so that it ends with what it was begun with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The token of the data directory.
    DataToken,
    /// A token, by its digest.
    Token(String),
    /// An account, with the stamp of its password.
    Account {
        /// Its name.
        name: String,
        /// See [`Account::stamp`].
        stamp: String,
    },
}

/// Why a name and a password were refused.
#[derive(Debug)]
pub enum SignInRefusal {
    /// The name or the password is wrong.
    Wrong,
    /// Too many sign-ins with this name failed; the password was not compared.
    TooMany(TooManySignIns),
    /// Too many passwords wait to be compared.
    Busy,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for SignInRefusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Recognises senders.
#[derive(Debug)]
pub struct Access {
    store: Store,
    data_token: SecretDigest,
    passwords: Passwords,
    limit: SignInLimit,
}

impl Access {
    /// Uses the accounts and tokens of `store`, and the token of the data directory.
    pub fn new(store: Store, data_token: &str) -> Self {
        let data_token = SecretDigest::of(data_token);
        Self { store, data_token, passwords: Passwords::default(), limit: SignInLimit::default() }
    }

    /// Returns the holder of a token.
    pub async fn by_token(&self, token: &str) -> Result<Option<Principal>, StoreError> {
        let credential = match self.data_token.is(token) {
            true => Credential::DataToken,
            false => Credential::Token(SecretDigest::of(token).to_hex()),
        };
        self.by_credential(&credential).await
    }

    /// Returns the holder of a credential, unless it was removed or its password was changed.
    pub async fn by_credential(&self, credential: &Credential) -> Result<Option<Principal>, StoreError> {
        let found = match credential {
            Credential::DataToken => Some((DATA_TOKEN.to_owned(), Role::Admin)),
            Credential::Token(digest) => {
                self.store.token(digest).await?.map(|(name, role)| (format!("token {name}"), role))
            }
            Credential::Account { name, stamp } => {
                let account = self.store.account(name).await?.filter(|account| account.stamp == *stamp);
                account.map(|account| (name.clone(), account.role))
            }
        };
        Ok(found.map(|(name, role)| Principal { name, role, credential: credential.clone() }))
    }

    /// Returns the person with this name and password. A wrong name takes as long as a wrong password.
    pub async fn by_password(&self, name: &str, password: String, now: Instant) -> Result<Principal, SignInRefusal> {
        if name.len() > NAME_BYTES_MAX {
            return Err(SignInRefusal::Wrong);
        }
        self.limit.begin(name, now).map_err(SignInRefusal::TooMany)?;
        let account = self.store.account(name).await?;
        let hash = account.as_ref().map(|account| account.password.clone());
        let is_right = self.passwords.verify(password, hash).await.map_err(|passwords::Busy| SignInRefusal::Busy)?;
        let Account { role, stamp, .. } = account.filter(|_| is_right).ok_or(SignInRefusal::Wrong)?;
        self.limit.succeeded(name, now);
        let credential = Credential::Account { name: name.to_owned(), stamp };
        Ok(Principal { name: name.to_owned(), role, credential })
    }

    /// Replaces the password of an account and ends its sessions. Its role stays, and an account that was removed meanwhile stays
    /// removed.
    ///
    /// Errors: `Wrong` if the old password is wrong, or was replaced meanwhile; see [`SignInRefusal`].
    pub async fn change_password(
        &self,
        name: &str,
        old: String,
        new: String,
        now: Instant,
    ) -> Result<(), SignInRefusal> {
        let person = self.by_password(name, old, now).await?;
        let Credential::Account { stamp, .. } = &person.credential else { return Err(SignInRefusal::Wrong) };
        let (hash, new_stamp) = (self.passwords.hash(new).await, random_hex::<STAMP_BYTES>());
        match self.store.set_password(name, stamp, &hash, &new_stamp).await? {
            true => Ok(()),
            false => Err(SignInRefusal::Wrong),
        }
    }

    /// Adds an account, or replaces its role and its password and ends its sessions; returns whether it is new. `by`: who does
    /// it. Name and password were checked.
    pub async fn set_account(
        &self,
        name: &str,
        role: Role,
        password: String,
        by: &Principal,
    ) -> Result<bool, StoreError> {
        let password = self.passwords.hash(password).await;
        let account = Account { role, password, stamp: random_hex::<STAMP_BYTES>() };
        self.store.set_account(name, &account, &by.name, now_s()).await
    }

    /// Adds a token and returns it; `None` if one has its name. It is not stored, and cannot be read later. `by`: who does it.
    pub async fn add_token(&self, name: &str, role: Role, by: &Principal) -> Result<Option<String>, StoreError> {
        let token = random_hex::<TOKEN_BYTES>();
        let digest = SecretDigest::of(&token).to_hex();
        let added = self.store.add_token(name, role, &digest, &by.name, now_s()).await?;
        Ok(added.then_some(token))
    }

    /// Removes an account or a token and ends its sessions; returns whether it existed. `by`: who does it.
    pub async fn remove(&self, kind: HolderKind, name: &str, by: &Principal) -> Result<bool, StoreError> {
        self.store.remove_holder(kind, name, &by.name).await
    }
}

/// Checks the name of an account or of a token.
///
/// Errors: the reason.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_alphanumeric() || "._@+-".contains(c);
    let is_dots = name == "." || name == ".."; // browsers remove them from a path
    match name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_plain) || is_dots {
        true => {
            Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes: letters, digits and . _ @ + -, and is not . or .."))
        }
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DATABASE_BYTES_MAX;
    use crate::testing::TempDir;

    /// An admin lowers the role, or removes the account, while its person changes the password.
    #[tokio::test]
    async fn a_change_of_the_password_restores_neither_a_role_nor_an_account() {
        let dir = TempDir::new();
        let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
        let access = Access::new(store.clone(), "token");
        let admin = access.by_token("token").await.unwrap().unwrap();
        access.set_account("ann", Role::Admin, "correct horse".into(), &admin).await.unwrap();
        let Credential::Account { stamp, .. } =
            access.by_password("ann", "correct horse".into(), Instant::now()).await.unwrap().credential
        else {
            panic!("an account")
        };
        access.set_account("ann", Role::Viewer, "correct horse".into(), &admin).await.unwrap();
        assert!(!store.set_password("ann", &stamp, "hash", "stamp").await.unwrap());
        let change = access.change_password("ann", "correct horse".into(), "battery staple".into(), Instant::now());
        change.await.unwrap();
        let ann = access.by_password("ann", "battery staple".into(), Instant::now()).await.unwrap();
        assert_eq!(ann.role, Role::Viewer);
        access.remove(HolderKind::Account, "ann", &admin).await.unwrap();
        assert!(!store.set_password("ann", &stamp, "hash", "stamp").await.unwrap());
        assert!(store.account("ann").await.unwrap().is_none());
    }
}
