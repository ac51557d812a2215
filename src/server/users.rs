//! The first password of the admin: the operator may give it when the server starts, as long as there is none.

use photondb_protocol::handshake::scram::UserLookup;
use tracing::{info, warn};
use uuid::Uuid;

use crate::auth::{ADMIN, NoRandom, Password, Users, UsersError};
use crate::config::InitialPassword;
use crate::log_lines::SECRET;
use crate::storage::{Engine, StorageError};

/// Why the admin cannot be given a password.
#[derive(Debug, thiserror::Error)]
pub enum FirstPasswordError {
    /// It cannot be stored.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// No secrets.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// It may be lost.
    #[error("the password of user `{ADMIN}` cannot be made durable: {0}")]
    Storage(#[from] StorageError),
}

/// Gives the admin the initial password, unless there is a password already. It is durable when this returns.
pub fn set_first_password(
    users: &Users,
    engine: &dyn Engine,
    initial: &InitialPassword,
) -> Result<(), FirstPasswordError> {
    if *initial == InitialPassword::Empty {
        return Ok(());
    }
    if users.credentials(ADMIN).is_some_and(|admin| !admin.is_password(b"")) {
        warn!(
            "Ignoring --initial-password option because the admin password is already \
             configured."
        );
        return Ok(());
    }
    let password = match initial {
        InitialPassword::Empty => return Ok(()),
        InitialPassword::Given(password) => Password::new(password)?,
        InitialPassword::Auto => {
            let password = Uuid::new_v4().to_string();
            info!(target: SECRET, "The password of user `{ADMIN}` is {password}");
            Password::new(&password)?
        }
    };
    if let Some(commit) = users.set_password(ADMIN, &password)? {
        engine.wait_durable(commit.sequence)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use photondb_protocol::handshake::scram::ScramCredentials;

    use super::*;
    use crate::storage::memory::MemoryEngine;

    fn admin(engine: &Arc<dyn Engine>, initial: &InitialPassword) -> ScramCredentials {
        let users = Users::open(engine).unwrap();
        set_first_password(&users, &**engine, initial).unwrap();
        users.credentials(ADMIN).unwrap()
    }

    fn given(password: &str) -> InitialPassword {
        InitialPassword::Given(password.to_owned())
    }

    #[test]
    fn the_admin_keeps_the_first_password() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        assert!(admin(&engine, &InitialPassword::Empty).is_password(b""));
        // A server without a password may be given one later.
        let first = admin(&engine, &given("hunter2"));
        assert!(first.is_password(b"hunter2"));
        for later in [InitialPassword::Empty, InitialPassword::Auto, given("other")] {
            assert_eq!(admin(&engine, &later), first);
        }
    }

    #[test]
    fn a_drawn_password_is_not_empty() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let drawn = admin(&engine, &InitialPassword::Auto);
        assert!(!drawn.is_password(b""));
        assert_eq!(admin(&engine, &InitialPassword::Empty), drawn);
    }
}
