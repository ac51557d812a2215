//! `users`: a row for each. A password is shown as whether there is one, and kept as what proves it.

use std::num::NonZeroU32;

use crate::auth::{ADMIN, Password, User};
use crate::datum::Datum;
use crate::limits::PASSWORD_ITERATIONS_MAX;
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};

use super::permissions::unexpected;
use super::{Change, Look};

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    let users = look.context.users.all();
    let row = |(name, user): (&String, &std::sync::Arc<User>)| {
        Datum::object([
            ("id", name.as_str().into()),
            ("password", Datum::Bool(!user.password.is_empty)),
        ])
    };
    Ok(users.iter().map(row).collect())
}

pub(super) fn write(env: &Env, look: &Look<'_>, change: &Change<'_>) -> Result<Datum> {
    // Hashing a password takes milliseconds: not where other clients wait.
    if !env.may_wait() {
        return Err(Error::new(ErrorKind::NotResident, "A password is hashed on the pool."));
    }
    let Some(name) = change.key.as_text().filter(|_| !change.is_generated) else {
        return Err(Error::op_failed(format!(
            "Expected a username as the primary key, got {}.",
            change.key().print()
        )));
    };
    if name.is_empty() {
        // Its own words, where RethinkDB means the same.
        return Err(Error::internal("Unexpected exception: Empty username"));
    }
    let users = &look.context.users;
    let changed = if matches!(change.new, Datum::Null) {
        if name == ADMIN {
            return Err(Error::op_failed(format!("The user `{name}` can't be deleted.")));
        }
        users.change(name, |user| match user {
            Some(_) => Ok(None),
            None => Err(Error::op_failed(format!("User `{name}` not found."))),
        })
    } else {
        let asked = Asked::of(change.new)?;
        users.change(name, |user| asked.make(user).map(Some))
    };
    if let Some(commit) = changed? {
        env.note_commit(commit);
    }
    Ok(change.new.clone())
}

/// The password that a row asks for.
enum Asked {
    /// The one there is, which must not be empty.
    Kept,
    /// This.
    New(Password),
}

impl Asked {
    fn of(row: &Datum) -> Result<Asked> {
        let Datum::Object(object) = row else {
            return Err(Error::op_failed(format!("Expected an object, got {}.", row.print())));
        };
        for field in ["id", "password"] {
            if !object.contains(field) {
                return Err(Error::op_failed(format!("Expected a field named `{field}`.")));
            }
        }
        unexpected(row, &["id", "password"])?;
        let hashed = match row.get("password") {
            Some(given @ Datum::Object(_)) => return with_iterations(given).map(Asked::New),
            Some(Datum::String(password)) => Password::new(password),
            Some(Datum::Bool(true)) => return Ok(Asked::Kept),
            Some(Datum::Bool(false)) => Password::new(""),
            other => {
                let got = other.map_or_else(String::new, Datum::print);
                return Err(Error::op_failed(format!(
                    "Expected an object, string or boolean for `password`, got {got}."
                )));
            }
        };
        hashed.map(Asked::New).map_err(|error| Error::internal(error.to_string()))
    }

    fn make(&self, user: Option<&User>) -> Result<User> {
        let permissions = user.map(|user| user.permissions.clone());
        let permissions = permissions.unwrap_or_default();
        let old = user.map(|user| &user.password).filter(|password| !password.is_empty);
        let password = match (self, old) {
            (Asked::New(password), _) => password.clone(),
            (Asked::Kept, Some(password)) => password.clone(),
            (Asked::Kept, None) => {
                return Err(Error::op_failed(
                    "Expected an object or string to set the password, or `false` to keep it unset, got true.",
                ));
            }
        };
        Ok(User { password, permissions })
    }
}

/// `{"password": .., "iterations": ..}`
fn with_iterations(given: &Datum) -> Result<Password> {
    let part = |field: &str| {
        let missing = || Error::op_failed(format!("Expected a field named `{field}`."));
        given.get(field).ok_or_else(missing)
    };
    let iterations = part("iterations")?;
    let rounds = match iterations {
        Datum::Number(rounds) if rounds.fract() == 0.0 && *rounds >= 1.0 => {
            if *rounds > f64::from(PASSWORD_ITERATIONS_MAX) {
                return Err(Error::op_failed(format!(
                    "Expected `iterations` to be at most {PASSWORD_ITERATIONS_MAX}, got {}.",
                    iterations.print()
                )));
            }
            NonZeroU32::new(*rounds as u32)
        }
        _ => None,
    };
    let rounds = rounds.ok_or_else(|| {
        Error::op_failed(format!(
            "Expected `iterations` to be an integer greater than zero, got {}.",
            iterations.print()
        ))
    })?;
    let Datum::String(password) = part("password")? else {
        let got = part("password")?.print();
        return Err(Error::op_failed(format!("Expected `password` to be a string, got {got}.")));
    };
    unexpected(given, &["iterations", "password"])?;
    Password::with_iterations(password, rounds).map_err(|error| Error::internal(error.to_string()))
}
