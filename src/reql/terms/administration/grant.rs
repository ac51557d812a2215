//! `grant`: says what a user may do, everywhere, in a database or in a table.

use photondb_protocol::numbers::TermType;

use crate::auth::Scope;
use crate::catalog::SYSTEM_DATABASE;
use crate::datum::Datum;
use crate::reql::catalog_errors::catalog_error;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::system::permissions::{
    SYSTEM_DATABASE_ID, grant as grant_to, shown, system_scope,
};
use crate::reql::value::{Val, ValKind};

pub static GRANT: TermSpec = TermSpec::on_catalog(
    Effect::Meta,
    TermType::Grant,
    "GRANT",
    Chapter::Administration,
    Arity::between(2, 3),
    grant,
);

/// The scope, when there is one, stands before the user's name, and is looked at last.
fn grant(args: &Args<'_>) -> Result<Val> {
    let user = args.str(args.len() - 2)?;
    let change = args.datum(args.len() - 1)?;
    let scope = match args.len() {
        3 => scope(args)?,
        _ => Scope::Global,
    };
    let (old, new) = grant_to(args.env, &user, scope, &change)?;
    let change = Datum::object([("new_val", shown(new)), ("old_val", shown(old))]);
    args.value(Datum::object([
        ("granted", Datum::Number(1.0)),
        ("permissions_changes", Datum::array(vec![change])),
    ]))
}

fn scope(args: &Args<'_>) -> Result<Scope> {
    let target = args.arg(0)?;
    match target.kind {
        ValKind::Database(database) if *database.name == *SYSTEM_DATABASE => {
            Ok(Scope::Database(SYSTEM_DATABASE_ID))
        }
        ValKind::Database(database) => {
            let state = args.env.context.catalog.state();
            let found = state.database(&database.name).map_err(catalog_error)?;
            Ok(Scope::Database(found.id.0))
        }
        kind => {
            let table = Val::new(kind, target.at).into_table(args.env)?;
            if table.is_system() {
                let scope = system_scope(table.name());
                return scope.ok_or_else(|| Error::internal("A system table has no id."));
            }
            Ok(Scope::Table(table.table.id().0))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, Server};

    fn users(row: &str) -> String {
        format!(r#"[56,[[15,[[14,["rethinkdb"]],"users"]],{row}]]"#)
    }

    #[test]
    fn grants_add_up_in_their_scopes() {
        let server = Server::new();
        server.succeed(&users(r#"{"id":"bob","password":false}"#));
        server.succeed(r#"[60,["t"]]"#);
        let changes = |query: &str, expected: &str| {
            let first = format!(r#"[45,[[170,[{query},"permissions_changes"]],0]]"#);
            server.check(&first, expected);
        };
        changes(r#"[188,["bob",{"read":true}]]"#, r#"{"old_val":null,"new_val":{"read":true}}"#);
        changes(
            r#"[188,["bob",{"connect":true,"read":null}]]"#,
            r#"{"old_val":{"read":true},"new_val":{"connect":true}}"#,
        );
        changes(
            r#"[188,[[14,["test"]],"bob",{"write":false}]]"#,
            r#"{"old_val":null,"new_val":{"write":false}}"#,
        );
        changes(
            r#"[188,[[15,["t"]],"bob",{"config":true}]]"#,
            r#"{"old_val":null,"new_val":{"config":true}}"#,
        );
        changes(
            r#"[188,[[15,[[14,["rethinkdb"]],"stats"]],"bob",{"read":true}]]"#,
            r#"{"old_val":null,"new_val":{"read":true}}"#,
        );
        let of_bob = r#"[38,[[39,[[15,[[14,["rethinkdb"]],"permissions"]],{"user":"bob"}]],
            [69,[[2,[1]],[34,[[10,[1]],"id","user"]]]]]]"#;
        server.check(
            &format!("[41,[{of_bob},[69,[[2,[1]],[172,[[10,[1]]]]]]]]"),
            r#"[
                {"database":"rethinkdb","permissions":{"read":true},"table":"stats"},
                {"database":"test","permissions":{"config":true},"table":"t"},
                {"database":"test","permissions":{"write":false}},
                {"permissions":{"connect":true}}
            ]"#,
        );
        // A table takes its permissions with it; who drops the user takes all.
        server.succeed(r#"[61,["t"]]"#);
        server.check(&format!("[43,[{of_bob}]]"), "3");
        server.succeed(r#"[54,[[16,[[15,[[14,["rethinkdb"]],"users"]],"bob"]]]]"#);
        server.check(&format!("[43,[{of_bob}]]"), "0");
    }

    #[test]
    fn refusals() {
        let server = Server::new();
        server.succeed(&users(r#"{"id":"bob","password":"x"}"#));
        for (query, refused) in [
            (r#"[188,["eve",{"read":true}]]"#, "User `eve` not found."),
            (r#"[188,["bob",{"read":1}]]"#, "Expected a boolean or null for `read`, got 1."),
            (r#"[188,["bob",{"b":1,"a":1}]]"#, "Unexpected key(s) `a`, `b`."),
            (r#"[188,["bob",5]]"#, "Expected an object, got 5."),
            (
                r#"[188,["admin",{"read":true}]]"#,
                "The permissions of the user `admin` can't be modified.",
            ),
            (
                r#"[188,[[14,["test"]],"bob",{"connect":true}]]"#,
                "The `connect` permission is only valid at the global scope.",
            ),
        ] {
            match server.run_with(query, "{}") {
                Outcome::Error(ErrorKind::OpFailed, message, _) if message == refused => {}
                other => panic!("{query}: {other:?}"),
            }
        }
    }
}
