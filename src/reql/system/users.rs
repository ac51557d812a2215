//! `users` and `permissions`: the one user there is, who may do everything. Others cannot be made yet.

use crate::catalog::SYSTEM_DATABASE;
use crate::datum::Datum;
use crate::reql::error::{Error, Result};

use super::{Change, Look};

/// The identity that RethinkDB gives the database of system tables.
const SYSTEM_DATABASE_ID: &str = "b99b9572-8e53-5fef-9a2b-5e6aba3edf1c";
const ADMIN: &str = "admin";

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    let has_password = look.env.context.facts().is_some_and(|facts| facts.admin_has_password);
    Ok(vec![Datum::object([("id", ADMIN.into()), ("password", Datum::Bool(has_password))])])
}

pub(super) fn permissions(_look: &Look<'_>) -> Result<Vec<Datum>> {
    let all = |rights: &[&'static str]| {
        Datum::object(rights.iter().map(|right| (*right, Datum::Bool(true))))
    };
    Ok(vec![
        Datum::object([
            ("id", Datum::array(vec![ADMIN.into()])),
            ("permissions", all(&["config", "connect", "read", "write"])),
            ("user", ADMIN.into()),
        ]),
        Datum::object([
            ("database", SYSTEM_DATABASE.into()),
            ("id", Datum::array(vec![ADMIN.into(), SYSTEM_DATABASE_ID.into()])),
            ("permissions", all(&["config", "read", "write"])),
            ("user", ADMIN.into()),
        ]),
    ])
}

pub(super) fn write(_look: &Look<'_>, change: &Change<'_>) -> Result<Datum> {
    if matches!(change.old, Datum::Null)
        && change.new.get("password").is_none()
        && change.new.get("permissions").is_none()
    {
        return Err(Error::op_failed("Expected a field named `password`."));
    }
    Err(Error::op_failed("Users and permissions cannot be changed on this server yet."))
}
