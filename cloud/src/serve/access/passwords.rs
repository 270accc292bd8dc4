//! Passwords: hashed and compared with Argon2id, one at a time, so that sign-ins take a bounded part of the machine.
//! Source: RFC 9106; the parameters are the crate's, those that OWASP recommends.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;

use crate::limits::{PASSWORD_BYTES, PASSWORDS_AT_ONCE_MAX, PASSWORDS_QUEUED_MAX};

/// Length of a salt. Unit: bytes. Source: RFC 9106, section 4.
const SALT_BYTES: usize = 16;
/// What the password of an unknown name is compared with: a wrong name takes as long as a wrong password.
const NO_PASSWORD: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes passwords and compares them with hashes.
#[derive(Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// Comparisons that run or wait for their turn.
    places: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        let turns = Arc::new(Semaphore::new(PASSWORDS_AT_ONCE_MAX));
        Self { turns, places: Semaphore::new(PASSWORDS_QUEUED_MAX) }
    }
}

/// Too many passwords wait to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Passwords {
    /// Returns the hash of a password, in PHC string format.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn hash(&self, password: String) -> String {
        self.run(move || hash(&password)).await
    }

    /// Returns whether `hash` is that of `password`; without a hash, false after the same time.
    ///
    /// Errors: `Busy`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Busy> {
        let _place = self.places.try_acquire().map_err(|_| Busy)?;
        let compare = move || {
            let is_right = verify(&password, hash.as_deref().unwrap_or(NO_PASSWORD));
            is_right && hash.is_some()
        };
        Ok(self.run(compare).await)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is not closed");
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.expect("hashing does not panic")
    }
}

fn hash(password: &str) -> String {
    let mut salt = [0; SALT_BYTES];
    SystemRandom::new().fill(&mut salt).expect("the operating system has random numbers");
    let salt = SaltString::encode_b64(&salt).expect("a salt of 16 bytes is allowed");
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.expect("the password was checked, the parameters are the crate's").to_string()
}

/// A hash that cannot be parsed is that of no password.
fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Checks the length of a new password.
///
/// Errors: the reason.
pub fn check(password: &str) -> Result<(), String> {
    match PASSWORD_BYTES.contains(&password.len()) {
        true => Ok(()),
        false => Err(format!(
            "a password has {} to {} bytes, this one has {}",
            PASSWORD_BYTES.start(),
            PASSWORD_BYTES.end(),
            password.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_has_the_hash_and_no_hash_is_made_twice() {
        let (one, two) = (hash("correct horse"), hash("correct horse"));
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != two);
        assert!(verify("correct horse", &one) && verify("correct horse", &two));
        assert!(!verify("correct horsf", &one) && !verify("", &one) && !verify("correct horse", "damaged"));
    }

    #[tokio::test]
    async fn without_a_hash_a_password_is_compared_and_wrong() {
        assert!(PasswordHash::new(NO_PASSWORD).is_ok(), "the time of a comparison is spent");
        assert_eq!(Passwords::default().verify(String::new(), None).await, Ok(false));
    }

    #[tokio::test]
    async fn beyond_the_places_a_password_is_not_compared() {
        let passwords = Passwords::default();
        let all = passwords.places.acquire_many(PASSWORDS_QUEUED_MAX as u32).await.unwrap();
        assert_eq!(passwords.verify(String::new(), None).await, Err(Busy));
        drop(all);
        assert_eq!(passwords.verify(String::new(), None).await, Ok(false));
    }
}
