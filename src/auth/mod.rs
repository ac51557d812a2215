//! Who may connect: users and the proofs of their passwords. Knows nothing of queries and connections.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{PoisonError, RwLock};

use photondb_protocol::handshake::scram::{
    DEFAULT_ITERATIONS, SALT_SIZE, ScramCredentials, UserLookup,
};
use ring::rand::{SecureRandom, SystemRandom};

/// The user that every server has.
pub const ADMIN: &str = "admin";

/// The system gives no random bytes, so no password can be stored safely.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandom;

/// The users of the server, as they are now. Where they are kept is not known here.
#[derive(Debug)]
pub struct Users {
    by_name: RwLock<HashMap<String, ScramCredentials>>,
    secret: [u8; 32],
}

impl Users {
    /// Nobody yet.
    pub fn new() -> Result<Users, NoRandom> {
        Ok(Users { by_name: RwLock::default(), secret: random()? })
    }

    /// The admin alone, whose password may be empty.
    pub fn with_admin(password: &str) -> Result<Users, NoRandom> {
        let users = Users::new()?;
        users.insert(ADMIN, credentials_of(password)?);
        Ok(users)
    }

    /// Makes a user, or gives it another password.
    pub fn insert(&self, user: &str, credentials: ScramCredentials) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(user.to_owned(), credentials);
    }
}

/// What is kept of a password.
pub fn credentials_of(password: &str) -> Result<ScramCredentials, NoRandom> {
    let salt: [u8; SALT_SIZE] = random()?;
    // Nothing is protected by hashing the empty password often, and logins without one are quick.
    let iterations = if password.is_empty() { NonZeroU32::MIN } else { DEFAULT_ITERATIONS };
    Ok(ScramCredentials::from_password(password.as_bytes(), salt, iterations))
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], NoRandom> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

impl UserLookup for Users {
    fn credentials(&self, user: &str) -> Option<ScramCredentials> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.get(user).cloned()
    }

    fn secret(&self) -> &[u8] {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_proof() {
        let users = Users::with_admin("").unwrap();
        let admin = users.credentials(ADMIN).unwrap();
        assert!(admin.is_password(b"") && !admin.is_password(b"x"));
        assert_eq!(admin.iterations.get(), 1);
        users.insert(ADMIN, credentials_of("hunter2").unwrap());
        let admin = users.credentials(ADMIN).unwrap();
        assert!(admin.is_password(b"hunter2") && !admin.is_password(b""));
        assert_eq!(admin.iterations, DEFAULT_ITERATIONS);
        assert!(users.credentials("nobody").is_none());
    }

    #[test]
    fn two_servers_have_two_secrets() {
        let (a, b) = (Users::with_admin("").unwrap(), Users::with_admin("").unwrap());
        assert_ne!(a.secret(), b.secret());
        assert_ne!(a.credentials(ADMIN).unwrap().salt, b.credentials(ADMIN).unwrap().salt);
    }
}
