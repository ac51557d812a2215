//! Who may connect and what they may do: users, the proofs of their passwords, their permissions. Knows values and
//! trees; nothing of queries and connections.

mod record;
mod rights;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use photondb_protocol::handshake::scram::{
    DEFAULT_ITERATIONS, SALT_SIZE, ScramCredentials, UserLookup,
};
use ring::rand::{SecureRandom, SystemRandom};

pub use record::TREE;
pub use rights::{Permissions, Rights, Scope};

use crate::bell::Bell;
use crate::limits::WRITE_ATTEMPTS;
use crate::storage::{Commit, Durability, Engine, StorageError, WriteBatch};
use crate::turns;

/// The user that every server has, who may do everything.
pub const ADMIN: &str = "admin";

/// The system gives no random bytes, so no password can be stored safely.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandom;

/// Why the users cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The engine failed.
    #[error("the users cannot be read or written: {0}")]
    Storage(#[from] StorageError),
    /// A record does not say what it must.
    #[error("the record of user `{user}` is damaged: {problem}")]
    Damaged {
        /// Whose.
        user: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No secrets.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

/// A user, as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What proves the password.
    pub password: Password,
    /// What it may do. Of the admin it says nothing: see [`Rights::ALL`].
    pub permissions: Permissions,
}

/// What is kept of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    /// What proves it.
    pub credentials: ScramCredentials,
    /// Whether it is the empty one: nothing has to be known to log in.
    pub is_empty: bool,
}

/// All users, by name.
pub type ByName = BTreeMap<String, Arc<User>>;

/// The users of the server, as they are now and as the engine keeps them.
pub struct Users {
    engine: Arc<dyn Engine>,
    by_name: RwLock<Arc<ByName>>,
    changed: Bell,
    /// Held by the one who makes a change.
    change: Mutex<()>,
    secret: [u8; 32],
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

impl Password {
    /// Hashes a password, with RethinkDB's number of rounds.
    pub fn new(password: &str) -> Result<Password, NoRandom> {
        // Nothing is protected by hashing the empty password often, and logins without one are quick.
        let rounds = if password.is_empty() { NonZeroU32::MIN } else { DEFAULT_ITERATIONS };
        Password::with_iterations(password, rounds)
    }

    /// Hashes a password so many times. Takes as long.
    pub fn with_iterations(password: &str, iterations: NonZeroU32) -> Result<Password, NoRandom> {
        let salt: [u8; SALT_SIZE] = random()?;
        let credentials = ScramCredentials::from_password(password.as_bytes(), salt, iterations);
        Ok(Password { credentials, is_empty: password.is_empty() })
    }
}

impl Users {
    /// The users that the engine holds; an engine without any gets the admin, whose password is empty. What is written
    /// is not yet durable when this returns.
    pub fn open(engine: &Arc<dyn Engine>) -> Result<Users, UsersError> {
        let stored = record::read_all(&*engine.snapshot()?)?;
        let users = Users {
            engine: engine.clone(),
            by_name: RwLock::new(Arc::new(stored)),
            changed: Bell::default(),
            change: Mutex::default(),
            secret: random()?,
        };
        if users.get(ADMIN).is_none() {
            users.set_password(ADMIN, &Password::new("")?)?;
        }
        Ok(users)
    }

    /// All of them.
    pub fn all(&self) -> Arc<ByName> {
        // The lock is held only while the pointer is cloned or exchanged, so it cannot be left in between.
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rung after every change.
    pub fn changed(&self) -> &Bell {
        &self.changed
    }

    /// A user.
    pub fn get(&self, name: &str) -> Option<Arc<User>> {
        self.all().get(name).cloned()
    }

    /// Gives a user another password, or makes one who may do nothing.
    pub fn set_password(
        &self,
        name: &str,
        password: &Password,
    ) -> Result<Option<Commit>, UsersError> {
        self.change(name, |user| {
            let permissions = user.map(|user| user.permissions.clone()).unwrap_or_default();
            Ok(Some(User { password: password.clone(), permissions }))
        })
    }

    /// Makes, changes or removes a user, in one batch: `plan` says what becomes of it. It may be asked again when a
    /// writer elsewhere came first. Gives the commit, or none when nothing changes; it is applied, not yet durable.
    pub fn change<E: From<UsersError>>(
        &self,
        name: &str,
        plan: impl Fn(Option<&User>) -> Result<Option<User>, E>,
    ) -> Result<Option<Commit>, E> {
        let _pause = turns::pause();
        let _only_writer = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempts = 0;
        loop {
            let old = self.get(name);
            let new = plan(old.as_deref())?;
            if old.as_deref() == new.as_ref() {
                return Ok(None);
            }
            attempts += 1;
            match self.write(name, old.as_deref(), new.as_ref()) {
                Ok(commit) => {
                    self.put(name, new);
                    return Ok(Some(commit));
                }
                Err(UsersError::Storage(StorageError::Conflict)) if attempts < WRITE_ATTEMPTS => {
                    let snapshot = self.engine.snapshot().map_err(UsersError::from)?;
                    self.put(name, record::read(&*snapshot, name)?);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn write(
        &self,
        name: &str,
        old: Option<&User>,
        new: Option<&User>,
    ) -> Result<Commit, UsersError> {
        let mut batch = WriteBatch::new(Durability::Hard);
        record::change(&mut batch, &*self.engine.snapshot()?, name, old, new)?;
        Ok(self.engine.apply(batch)?)
    }

    fn put(&self, name: &str, user: Option<User>) {
        let mut held = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let mut by_name = ByName::clone(&held);
        match user {
            Some(user) => drop(by_name.insert(name.to_owned(), Arc::new(user))),
            None => drop(by_name.remove(name)),
        }
        *held = Arc::new(by_name);
        drop(held);
        self.changed.ring();
    }
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], NoRandom> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

impl UserLookup for Users {
    fn credentials(&self, user: &str) -> Option<ScramCredentials> {
        self.get(user).map(|user| user.password.credentials.clone())
    }

    fn secret(&self) -> &[u8] {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::storage::ReadMode;
    use crate::storage::memory::MemoryEngine;

    fn engine() -> Arc<dyn Engine> {
        Arc::new(MemoryEngine::new())
    }

    #[test]
    fn a_password_is_known_by_its_proof() {
        let engine = engine();
        let users = Users::open(&engine).unwrap();
        let admin = users.credentials(ADMIN).unwrap();
        assert!(admin.is_password(b"") && !admin.is_password(b"x"));
        assert_eq!(admin.iterations.get(), 1);
        users.set_password(ADMIN, &Password::new("hunter2").unwrap()).unwrap();
        let admin = users.credentials(ADMIN).unwrap();
        assert!(admin.is_password(b"hunter2") && !admin.is_password(b""));
        assert_eq!(admin.iterations, DEFAULT_ITERATIONS);
        assert!(users.credentials("nobody").is_none());
        assert_eq!(Users::open(&engine).unwrap().credentials(ADMIN), Some(admin));
    }

    #[test]
    fn two_servers_have_two_secrets() {
        let (a, b) = (Users::open(&engine()).unwrap(), Users::open(&engine()).unwrap());
        assert_ne!(a.secret(), b.secret());
        assert_ne!(a.credentials(ADMIN).unwrap().salt, b.credentials(ADMIN).unwrap().salt);
    }

    #[test]
    fn users_are_made_changed_removed_and_kept() {
        let engine = engine();
        let users = Users::open(&engine).unwrap();
        let mut bob = User {
            password: Password::new("secret").unwrap(),
            permissions: Permissions::default(),
        };
        let put = |user: &User| {
            let user = Some(user.clone());
            users.change::<UsersError>("bob", |_| Ok(user.clone())).unwrap()
        };
        assert!(put(&bob).is_some());
        assert!(put(&bob).is_none(), "nothing changed");
        let read = Rights { read: Some(true), config: Some(false), ..Rights::default() };
        bob.permissions.set(Scope::Database(Uuid::from_u128(7)), read);
        bob.permissions.set(Scope::Table(Uuid::from_u128(8)), Rights::ALL);
        assert!(put(&bob).is_some());
        let again = Users::open(&engine).unwrap();
        assert_eq!(*again.get("bob").unwrap(), bob);
        assert!(users.change::<UsersError>("bob", |_| Ok(None)).unwrap().is_some());
        assert_eq!(Users::open(&engine).unwrap().all().len(), 1);
    }

    #[test]
    fn a_writer_elsewhere_is_noticed() {
        let engine = engine();
        let (one, other) = (Users::open(&engine).unwrap(), Users::open(&engine).unwrap());
        one.set_password("bob", &Password::new("a").unwrap()).unwrap();
        let grant = |user: Option<&User>| {
            let mut user = user.cloned().ok_or(UsersError::Random(NoRandom))?;
            let read = Rights { read: Some(true), ..Rights::default() };
            user.permissions.set(Scope::Global, read);
            Ok::<_, UsersError>(Some(user))
        };
        // The other one has not heard of him.
        assert!(other.change("bob", grant).is_err());
        other.set_password("bob", &Password::new("b").unwrap()).unwrap();
        one.change("bob", grant).unwrap();
        let bob = one.get("bob").unwrap();
        assert!(bob.password.credentials.is_password(b"b"));
        assert_eq!(bob.permissions.get(Scope::Global).read, Some(true));
    }

    #[test]
    fn a_damaged_record_is_no_empty_password() {
        let engine = engine();
        Users::open(&engine).unwrap();
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.put(record::TREE, ADMIN.as_bytes().to_vec(), b"{}".to_vec());
        engine.apply(batch).unwrap();
        let error = Users::open(&engine).unwrap_err();
        assert!(error.to_string().contains("user `admin` is damaged"), "{error}");
    }

    #[test]
    fn no_password_is_kept() {
        let engine = engine();
        let users = Users::open(&engine).unwrap();
        users.set_password("bob", &Password::new("swordfish").unwrap()).unwrap();
        let snapshot = engine.snapshot().unwrap();
        let record = snapshot.get(record::TREE, b"bob", ReadMode::MayBlock).unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&record).contains("swordfish"));
    }
}
