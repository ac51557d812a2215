//! The users as they are kept with the data: one tree, a record for each. Knows what proves a password, never the
//! password; must not know who connects.
//!
//! ```text
//! key        value
//! user name  {"salt": .., "iterations": .., "stored_key": .., "server_key": ..}, bytes as base64
//! ```

use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use photondb_protocol::handshake::scram::{SALT_SIZE, ScramCredentials};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use uuid::Uuid;

use crate::auth::{ADMIN, NoRandom, Users, credentials_of};
use crate::config::InitialPassword;
use crate::storage::{Durability, Engine, ReadMode, StorageError, TreeId, WriteBatch};

/// The tree of users. The catalog has the one before it.
const TREE: TreeId = TreeId(2);

/// Why the users cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The engine failed.
    #[error("cannot open the users: {0}")]
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

#[derive(Serialize, Deserialize)]
struct Record {
    salt: String,
    iterations: NonZeroU32,
    stored_key: String,
    server_key: String,
}

/// The users that the engine holds. The admin gets the initial password unless there is a password already.
pub fn open(engine: &Arc<dyn Engine>, initial: &InitialPassword) -> Result<Users, UsersError> {
    let stored = read(engine, ADMIN)?;
    let is_set = stored.as_ref().is_some_and(|stored| !stored.is_password(b""));
    let admin = match (stored, initial) {
        (Some(stored), InitialPassword::Empty) => stored,
        (Some(stored), _) if is_set => {
            warn!(
                "Ignoring --initial-password option because the admin password is already \
                 configured."
            );
            stored
        }
        (_, initial) => {
            let admin = first_credentials(initial)?;
            write(engine, ADMIN, &admin)?;
            admin
        }
    };
    let users = Users::new()?;
    users.insert(ADMIN, admin);
    Ok(users)
}

fn first_credentials(initial: &InitialPassword) -> Result<ScramCredentials, NoRandom> {
    match initial {
        InitialPassword::Empty => credentials_of(""),
        InitialPassword::Given(password) => credentials_of(password),
        InitialPassword::Auto => {
            let password = Uuid::new_v4().to_string();
            info!("The password of user `{ADMIN}` is {password}");
            credentials_of(&password)
        }
    }
}

fn read(engine: &Arc<dyn Engine>, user: &str) -> Result<Option<ScramCredentials>, UsersError> {
    let snapshot = engine.snapshot()?;
    if !snapshot.has_tree(TREE, ReadMode::MayBlock)? {
        return Ok(None);
    }
    let Some(bytes) = snapshot.get(TREE, user.as_bytes(), ReadMode::MayBlock)? else {
        return Ok(None);
    };
    let damaged =
        |problem: &str| UsersError::Damaged { user: user.to_owned(), problem: problem.to_owned() };
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
    Ok(Some(ScramCredentials {
        salt: decoded::<SALT_SIZE>(&record.salt).ok_or_else(|| damaged("its salt"))?,
        iterations: record.iterations,
        stored_key: decoded(&record.stored_key).ok_or_else(|| damaged("its stored key"))?,
        server_key: decoded(&record.server_key).ok_or_else(|| damaged("its server key"))?,
    }))
}

fn decoded<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

/// Durable when this returns.
fn write(
    engine: &Arc<dyn Engine>,
    user: &str,
    credentials: &ScramCredentials,
) -> Result<(), UsersError> {
    let record = Record {
        salt: BASE64.encode(credentials.salt),
        iterations: credentials.iterations,
        stored_key: BASE64.encode(credentials.stored_key),
        server_key: BASE64.encode(credentials.server_key),
    };
    let json = serde_json::to_vec(&record).map_err(|error| UsersError::Damaged {
        user: user.to_owned(),
        problem: error.to_string(),
    })?;
    let mut batch = WriteBatch::new(Durability::Hard);
    if !engine.snapshot()?.has_tree(TREE, ReadMode::MayBlock)? {
        batch.create_tree(TREE);
    }
    batch.put(TREE, user.as_bytes().to_vec(), json);
    let commit = engine.apply(batch)?;
    Ok(engine.wait_durable(commit.sequence)?)
}

#[cfg(test)]
mod tests {
    use photondb_protocol::handshake::scram::UserLookup;

    use super::*;
    use crate::storage::memory::MemoryEngine;

    fn admin(engine: &Arc<dyn Engine>, initial: InitialPassword) -> ScramCredentials {
        open(engine, &initial).unwrap().credentials(ADMIN).unwrap()
    }

    fn given(password: &str) -> InitialPassword {
        InitialPassword::Given(password.to_owned())
    }

    #[test]
    fn the_admin_keeps_the_first_password() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        assert!(admin(&engine, InitialPassword::Empty).is_password(b""));
        // A server without a password may be given one later.
        let first = admin(&engine, given("hunter2"));
        assert!(first.is_password(b"hunter2"));
        for later in [InitialPassword::Empty, InitialPassword::Auto, given("other")] {
            assert_eq!(admin(&engine, later), first);
        }
    }

    #[test]
    fn a_drawn_password_is_not_empty() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let drawn = admin(&engine, InitialPassword::Auto);
        assert!(!drawn.is_password(b""));
        assert_eq!(admin(&engine, InitialPassword::Empty), drawn);
    }

    #[test]
    fn a_damaged_record_is_no_empty_password() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.create_tree(TREE);
        batch.put(TREE, ADMIN.as_bytes().to_vec(), b"{}".to_vec());
        engine.apply(batch).unwrap();
        let error = open(&engine, &InitialPassword::Empty).unwrap_err();
        assert!(error.to_string().contains("user `admin` is damaged"), "{error}");
    }
}
