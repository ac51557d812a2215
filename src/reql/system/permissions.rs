//! `permissions`: a row for each scope in which something was said of what a user may do.
//!
//! The key is an array of the user's name, and of the ids of the database and the table that the row is of. What is
//! written is merged into what was said before; a row that says nothing goes.

use uuid::Uuid;

use crate::auth::{ADMIN, Permissions, Rights, Scope, User};
use crate::catalog::{CatalogState, DatabaseId, SYSTEM_DATABASE};
use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::table::TableId;

use super::{Change, Look, name, table_id, table_name};

/// The identity that RethinkDB gives the database of system tables.
pub const SYSTEM_DATABASE_ID: Uuid = Uuid::from_u128(0xb99b_9572_8e53_5fef_9a2b_5e6a_ba3e_df1c);

/// What a database is called whose row outlives it.
const DELETED_DATABASE: &str = "__deleted_database__";

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    let state = look.context.catalog.state();
    let mut rows = Vec::new();
    for (name, user) in look.context.users.all().iter() {
        let permissions = if name == ADMIN { of_admin() } else { user.permissions.clone() };
        let said = permissions.iter();
        rows.extend(said.filter_map(|(scope, rights)| row(look, &state, name, scope, rights)));
    }
    Ok(rows)
}

fn of_admin() -> Permissions {
    let mut all = Permissions::default();
    all.set(Scope::Global, Rights::ALL);
    let database = Rights { connect: None, ..Rights::ALL };
    all.set(Scope::Database(SYSTEM_DATABASE_ID), database);
    all
}

/// The row of a scope; none for a table that is gone.
fn row(
    look: &Look<'_>,
    state: &CatalogState,
    user: &str,
    scope: Scope,
    rights: Rights,
) -> Option<Datum> {
    let mut id: Vec<Datum> = vec![user.into()];
    let mut fields = vec![("permissions", shown(rights)), ("user", user.into())];
    let (database, table) = match scope {
        Scope::Global => (None, None),
        Scope::Database(id) => (Some(id), None),
        Scope::Table(id) => (Some(database_of(state, id)?), Some(id)),
    };
    if let Some(database) = database {
        id.push(database.to_string().into());
        let known = state.database_by_id(DatabaseId(database));
        let name = match known {
            Some(database) => &database.name,
            None if database == SYSTEM_DATABASE_ID => SYSTEM_DATABASE,
            None => DELETED_DATABASE,
        };
        fields.push(("database", look.database(name, DatabaseId(database))));
    }
    if let Some(table) = table {
        id.push(table.to_string().into());
        fields.push((
            "table",
            if look.by_id { table.to_string().into() } else { name_of(state, table)?.into() },
        ));
    }
    fields.push(("id", Datum::array(id)));
    Some(Datum::object(fields))
}

fn database_of(state: &CatalogState, table: Uuid) -> Option<Uuid> {
    if table_name(table).is_some() {
        return Some(SYSTEM_DATABASE_ID);
    }
    state.table_by_id(TableId(table)).map(|table| table.database.0)
}

fn name_of(state: &CatalogState, table: Uuid) -> Option<String> {
    let known = table_name(table).map(str::to_owned);
    known.or_else(|| state.table_by_id(TableId(table)).map(|table| table.name.clone()))
}

/// What was said, as an object; null when nothing was.
pub fn shown(rights: Rights) -> Datum {
    let Rights { read, write, config, connect } = rights;
    let fields = [("read", read), ("write", write), ("config", config), ("connect", connect)];
    let said = fields.into_iter().filter_map(|(name, said)| Some((name, Datum::Bool(said?))));
    match rights.is_empty() {
        true => Datum::Null,
        false => Datum::object(said),
    }
}

/// Says what an object says: true, false, or null for nothing any more. What it does not mention stays.
pub fn merge(rights: &mut Rights, scope: Scope, change: &Datum) -> Result<()> {
    if !matches!(change, Datum::Object(_)) {
        return Err(Error::op_failed(format!("Expected an object, got {}.", change.print())));
    }
    let fields =
        [("read", &mut rights.read), ("write", &mut rights.write), ("config", &mut rights.config)];
    let said = |field: &str| match change.get(field) {
        None => Ok(None),
        Some(Datum::Bool(said)) => Ok(Some(Some(*said))),
        Some(Datum::Null) => Ok(Some(None)),
        Some(other) => Err(Error::op_failed(format!(
            "Expected a boolean or null for `{field}`, got {}.",
            other.print()
        ))),
    };
    for (field, right) in fields {
        if let Some(said) = said(field)? {
            *right = said;
        }
    }
    if change.get("connect").is_some() {
        if scope != Scope::Global {
            return Err(Error::op_failed(
                "The `connect` permission is only valid at the global scope.",
            ));
        }
        if let Some(said) = said("connect")? {
            rights.connect = said;
        }
    }
    unexpected(change, &["read", "write", "config", "connect"])
}

/// Fails when there are other fields than these.
pub(super) fn unexpected(row: &Datum, fields: &[&str]) -> Result<()> {
    let Datum::Object(object) = row else { return Ok(()) };
    let names = object.iter().map(|(name, _)| &**name);
    let extra: Vec<&str> = names.filter(|name| !fields.contains(name)).collect();
    if extra.is_empty() {
        return Ok(());
    }
    Err(Error::op_failed(format!("Unexpected key(s) `{}`.", extra.join("`, `"))))
}

/// What was said before a grant and what is said after it.
pub fn grant(env: &Env, user: &str, scope: Scope, change: &Datum) -> Result<(Rights, Rights)> {
    refuse_admin(user)?;
    let not_found = || Error::op_failed(format!("User `{user}` not found."));
    let said = |user: Option<&User>| -> Result<(User, Rights, Rights)> {
        let mut user = user.cloned().ok_or_else(not_found)?;
        let old = user.permissions.get(scope);
        let mut new = old;
        merge(&mut new, scope, change)?;
        user.permissions.set(scope, new);
        Ok((user, old, new))
    };
    let users = &env.context.users;
    // Again under the lock of whoever changes users, so that two grants at once both count.
    let outcome = std::cell::Cell::new(None);
    let commit = users.change(user, |user| {
        let (user, old, new) = said(user)?;
        outcome.set(Some((old, new)));
        Ok::<_, Error>(Some(user))
    })?;
    if let Some(commit) = commit {
        env.note_commit(commit);
    }
    outcome.get().ok_or_else(|| Error::internal("A grant had no outcome."))
}

fn refuse_admin(user: &str) -> Result<()> {
    if user != ADMIN {
        return Ok(());
    }
    Err(Error::op_failed(format!("The permissions of the user `{user}` can't be modified.")))
}

pub(super) fn write(env: &Env, look: &Look<'_>, change: &Change<'_>) -> Result<Datum> {
    if change.is_generated {
        return Err(Error::op_failed("You must specify a primary key."));
    }
    let state = look.context.catalog.state();
    let Place { user, scope } = Place::of(&state, &change.key())?;
    let users = &look.context.users;
    if users.get(&user).is_none() {
        return Err(Error::op_failed(format!("No user named `{user}`.")));
    }
    refuse_admin(&user)?;
    let rights = match change.new {
        Datum::Null => None,
        new => Some(asked(look, &state, &user, scope, new)?),
    };
    let said = std::cell::Cell::new(Rights::default());
    let commit = users.change(&user, |found| {
        let mut found =
            found.cloned().ok_or_else(|| Error::op_failed(format!("No user named `{user}`.")))?;
        let mut new = Rights::default();
        if let Some(change) = rights {
            new = found.permissions.get(scope);
            merge(&mut new, scope, change)?;
        }
        found.permissions.set(scope, new);
        said.set(new);
        Ok::<_, Error>(Some(found))
    })?;
    if let Some(commit) = commit {
        env.note_commit(commit);
    }
    Ok(if said.get().is_empty() { Datum::Null } else { change.new.clone() })
}

/// Whom and what a row is of.
struct Place {
    user: String,
    scope: Scope,
}

impl Place {
    fn of(state: &CatalogState, key: &Datum) -> Result<Place> {
        let refused = |expected: &str, got: &Datum| {
            Error::op_failed(format!("Expected {expected}, got {}.", got.print()))
        };
        let parts = match key {
            Datum::Array(parts) if (1..=3).contains(&parts.len()) => parts.as_slice(),
            other => {
                return Err(refused("an array of one to three items in the primary key", other));
            }
        };
        let (user, ids) = match parts {
            [Datum::String(user), ids @ ..] => (user.to_string(), ids),
            [other, ..] => return Err(refused("a string as the username", other)),
            [] => return Err(Error::internal("A key of permissions has no user.")),
        };
        let id = |part: &Datum, what: &str| match part {
            Datum::String(text) => text.parse::<Uuid>().map_err(|_| refused(what, part)),
            other => Err(refused(what, other)),
        };
        let Some(database) = ids.first() else { return Ok(Place { user, scope: Scope::Global }) };
        let database = id(database, "a UUID as the database")?;
        if database != SYSTEM_DATABASE_ID && state.database_by_id(DatabaseId(database)).is_none() {
            let message = format!("No database with UUID `{database}` exists.");
            return Err(Error::op_failed(message));
        }
        let Some(table) = ids.get(1) else {
            return Ok(Place { user, scope: Scope::Database(database) });
        };
        let table = id(table, "a UUID as the table")?;
        if database_of(state, table) != Some(database) {
            return Err(Error::op_failed(format!("No table with UUID `{table}` exists.")));
        }
        Ok(Place { user, scope: Scope::Table(table) })
    }
}

/// The permissions that a row asks for, once the rest of it is found to go with its key.
fn asked<'r>(
    look: &Look<'_>,
    state: &CatalogState,
    user: &str,
    scope: Scope,
    row: &'r Datum,
) -> Result<&'r Datum> {
    let differs = |field: &str| {
        Error::op_failed(format!("The key `{field}` does not match the primary key."))
    };
    let mut known = vec!["id", "user", "permissions"];
    if let Some(given) = row.get("user")
        && **given.as_str()? != *user
    {
        return Err(differs("user"));
    }
    let (database, table) = match scope {
        Scope::Global => (None, None),
        Scope::Database(id) => (Some(id), None),
        Scope::Table(id) => (database_of(state, id), Some(id)),
    };
    let matches = |field: &str, what: &str, id: Uuid, called: Option<String>| {
        let Some(given) = row.get(field) else { return Ok(()) };
        let is_same = if look.by_id {
            let given = match given {
                Datum::String(text) => text.parse::<Uuid>().ok(),
                _ => None,
            };
            let expected = || {
                format!(
                    "Expected a UUID; got {}",
                    row.get(field).map_or_else(String::new, Datum::print)
                )
            };
            given.ok_or_else(|| Error::op_failed(expected()))? == id
        } else {
            let given = name(row, field, what).map_err(Error::op_failed)?;
            called.as_deref() == Some(given)
        };
        if is_same { Ok(()) } else { Err(differs(field)) }
    };
    if let Some(id) = database {
        known.push("database");
        let called = match state.database_by_id(DatabaseId(id)) {
            Some(database) => database.name.clone(),
            None => SYSTEM_DATABASE.to_owned(),
        };
        matches("database", "database name", id, Some(called))?;
    }
    if let Some(id) = table {
        known.push("table");
        matches("table", "table name", id, name_of(state, id))?;
    }
    let permissions = row.get("permissions");
    let permissions =
        permissions.ok_or_else(|| Error::op_failed("Expected a field `permissions`."))?;
    merge(&mut Rights::default(), scope, permissions)?;
    unexpected(row, &known)?;
    Ok(permissions)
}

/// The scope of a table of database `rethinkdb`.
pub fn system_scope(table: &str) -> Option<Scope> {
    table_id(table).map(Scope::Table)
}
