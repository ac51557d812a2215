//! How many shards and replicas a table is to have, and on servers with which tags: what `tableCreate` and `reconfigure`
//! are told, and whether the one server that there is can do it.
//!
//! Must not know how tables are kept: whatever is said, this server holds them whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::is_valid_name;
use crate::datum::Datum;
use crate::limits::TABLE_SHARDS_MAX;
use crate::reql::context::Context;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::value::Val;

/// The tag that replicas are put on when none is named.
const DEFAULT_TAG: &str = "default";

/// What is asked for.
#[derive(Debug)]
pub struct Placement {
    shards: i64,
    /// The number of replicas of each shard on servers with a tag.
    replicas: BTreeMap<String, u64>,
    nonvoting: BTreeSet<String>,
    primary: String,
}

impl Default for Placement {
    fn default() -> Self {
        let primary = DEFAULT_TAG.to_owned();
        let replicas = BTreeMap::from([(primary.clone(), 1)]);
        Placement { shards: 1, replicas, nonvoting: BTreeSet::new(), primary }
    }
}

impl Placement {
    /// As the options of a term say; what they do not say is as usual.
    pub fn of_new_table(args: &Args<'_>) -> Result<Placement> {
        Placement::read(args, false)
    }

    /// As the options of a term say, which must say how many shards and replicas there shall be.
    pub fn of_old_table(args: &Args<'_>) -> Result<Placement> {
        Placement::read(args, true)
    }

    fn read(args: &Args<'_>, all: bool) -> Result<Placement> {
        let is_missing = |option| all && args.optarg_node(option).is_none();
        let missing = |option| Error::logic(format!("Missing required argument `{option}`."));
        let mut placement = Placement::default();
        if is_missing("shards") {
            return Err(missing("shards"));
        }
        if let Some(val) = args.optarg("shards")? {
            placement.shards = shards(args, val)?;
        }
        if is_missing("replicas") {
            return Err(missing("replicas"));
        }
        placement.read_replicas(args)?;
        Ok(placement)
    }

    /// The number of shards. Only what [`Placement::check`] has passed is one that a table may have.
    pub fn shards(&self) -> u32 {
        u32::try_from(self.shards).unwrap_or(u32::MAX)
    }

    fn read_replicas(&mut self, args: &Args<'_>) -> Result<()> {
        let primary = args.optarg("primary_replica_tag")?;
        let nonvoting = args.optarg("nonvoting_replica_tags")?;
        if let Some(val) = args.optarg("replicas")? {
            let at = val.at;
            self.replicas = match val.into_datum(args.env)? {
                Datum::Object(by_tag) => {
                    if primary.is_none() {
                        return Err(Error::logic(
                            "`primary_replica_tag` must be specified when `replicas` is an OBJECT.",
                        )
                        .at(at));
                    }
                    let mut replicas = BTreeMap::new();
                    for (tag, number) in by_tag.iter() {
                        replicas.insert(tag_of(tag, at)?, replicas_of(number, at)?);
                    }
                    replicas
                }
                number @ Datum::Number(_) => {
                    for (option, given) in [
                        ("primary_replica_tag", primary.is_some()),
                        ("nonvoting_replica_tags", nonvoting.is_some()),
                    ] {
                        if given {
                            let message =
                                format!("`replicas` must be an OBJECT if `{option}` is specified.");
                            return Err(Error::logic(message).at(at));
                        }
                    }
                    let number = number.as_integer().map_err(|error| Error::from(error).at(at))?;
                    // As RethinkDB has it: less than none are very many.
                    BTreeMap::from([(self.primary.clone(), number as u64)])
                }
                other => return Err(wrong_type("OBJECT or NUMBER", &other).at(at)),
            };
        }
        if let Some(val) = nonvoting {
            let at = val.at;
            let given = val.into_datum(args.env)?;
            let Datum::Array(tags) = &given else { return Err(wrong_type("ARRAY", &given).at(at)) };
            let tag = |tag: &Datum| match tag {
                Datum::String(tag) => tag_of(tag, at),
                other => Err(wrong_type("STRING", other).at(at)),
            };
            self.nonvoting = tags.iter().map(tag).collect::<Result<_>>()?;
        }
        if let Some(val) = primary {
            let at = val.at;
            self.primary = tag_of(&val.str(args.env)?, at)?;
        }
        Ok(())
    }

    /// Whether this server can do it.
    pub fn check(&self, context: &Context) -> Result<()> {
        self.problem(context).map_or(Ok(()), |problem| Err(Error::op_failed(problem)))
    }

    /// Why this server cannot do it.
    pub fn problem(&self, context: &Context) -> Option<String> {
        if self.replicas.values().all(|number| *number == 0) {
            return Some(
                "You must set `replicas` to at least one. `replicas` includes the primary replica; if there are zero \
                 replicas, there is nowhere to put the data."
                    .to_owned(),
            );
        }
        if self.shards > i64::from(TABLE_SHARDS_MAX) {
            return Some(format!("Maximum number of shards is {TABLE_SHARDS_MAX}."));
        }
        let primary = &self.primary;
        if self.replicas.get(primary).is_none_or(|number| *number == 0) {
            return Some(format!(
                "Can't use server tag `{primary}` for primary replicas because you specified no replicas in server tag \
                 `{primary}`."
            ));
        }
        if let Some(tag) = self.nonvoting.iter().find(|tag| !self.replicas.contains_key(*tag)) {
            return Some(format!(
                "You specified that the replicas in server tag `{tag}` should be non-voting, but you didn't specify a \
                 number of replicas in server tag `{tag}`."
            ));
        }
        let state = context.catalog.state();
        let has = |tag: &str| state.settings().tags.contains(tag);
        let wanted = || self.replicas.iter().filter(|(_, number)| **number > 0);
        let mut claimed = wanted().map(|(tag, _)| tag).filter(|tag| has(tag));
        if let (Some(first), Some(second)) = (claimed.next(), claimed.next()) {
            return Some(format!(
                "Server tags `{second}` and `{first}` overlap; the server `{}` has both tags. The server tags used for \
                 replication settings for a given table must be non-overlapping.",
                context.server_name()
            ));
        }
        let too_many = |(tag, number): &(&String, &u64)| **number > u64::from(has(tag));
        let (tag, number) = wanted().find(too_many)?;
        let servers = u64::from(has(tag));
        Some(format!(
            "Can't put {number} replicas on servers with the tag `{tag}` because there are only {servers} servers with \
             the tag `{tag}`. It's impossible to have more replicas of the data than there are servers."
        ))
    }
}

fn shards(args: &Args<'_>, val: Val) -> Result<i64> {
    let at = val.at;
    let shards = val.integer(args.env)?;
    if shards < 1 {
        return Err(Error::logic("Every table must have at least one shard.").at(at));
    }
    Ok(shards)
}

fn tag_of(tag: &str, at: NodeId) -> Result<String> {
    if is_valid_name(tag) {
        return Ok(tag.to_owned());
    }
    let rule = "Use A-Z, a-z, 0-9, _ and - only";
    Err(Error::logic(format!("Server tag name `{tag}` invalid ({rule}).")).at(at))
}

fn replicas_of(number: &Datum, at: NodeId) -> Result<u64> {
    number.as_number()?;
    let number = number.as_integer().map_err(|error| Error::from(error).at(at))?;
    u64::try_from(number)
        .map_err(|_| Error::logic("Can't have a negative number of replicas").at(at))
}

fn wrong_type(expected: &str, found: &Datum) -> Error {
    Error::logic(format!(
        "Expected type {expected} but found {}:\n{}",
        found.type_name(),
        found.print()
    ))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, Server, check_error};

    /// What both terms say that read these options.
    #[track_caller]
    fn refused(options: &str, kind: ErrorKind, message: &str, place: &str) {
        let server = Server::new();
        server.succeed(r#"[60,["t"]]"#);
        for query in [
            format!(r#"[60,["new"],{options}]"#),
            format!(r#"[176,[[15,["t"]]],{options}]"#),
            format!(r#"[176,[[14,["test"]]],{options}]"#),
        ] {
            match server.run_with(&query, "{}") {
                Outcome::Error(found, text, path)
                    if found == kind && text == message && path == place => {}
                other => panic!("{query}: {other:?}"),
            }
        }
        server.check("[62,[]]", r#"["t"]"#);
    }

    #[test]
    fn options_that_say_nothing() {
        let logic = |options: &str, message: &str, at: &str| {
            refused(options, ErrorKind::Logic, message, &format!("[\"{at}\"]"));
        };
        logic(
            r#"{"shards":0,"replicas":1}"#,
            "Every table must have at least one shard.",
            "shards",
        );
        logic(
            r#"{"shards":1,"replicas":{"a":1}}"#,
            "`primary_replica_tag` must be specified when `replicas` is an OBJECT.",
            "replicas",
        );
        logic(
            r#"{"shards":1,"replicas":1,"primary_replica_tag":"default"}"#,
            "`replicas` must be an OBJECT if `primary_replica_tag` is specified.",
            "replicas",
        );
        logic(
            r#"{"shards":1,"replicas":1,"nonvoting_replica_tags":[2,["default"]]}"#,
            "`replicas` must be an OBJECT if `nonvoting_replica_tags` is specified.",
            "replicas",
        );
        logic(
            r#"{"shards":1,"replicas":"x"}"#,
            "Expected type OBJECT or NUMBER but found STRING:\n\"x\"",
            "replicas",
        );
        logic(
            r#"{"shards":1,"replicas":{"a b":1},"primary_replica_tag":"default"}"#,
            "Server tag name `a b` invalid (Use A-Z, a-z, 0-9, _ and - only).",
            "replicas",
        );
        logic(
            r#"{"shards":1,"replicas":{"default":-1},"primary_replica_tag":"default"}"#,
            "Can't have a negative number of replicas",
            "replicas",
        );
        logic(
            r#"{"shards":1,"replicas":{"default":1},"primary_replica_tag":"default","nonvoting_replica_tags":"x"}"#,
            "Expected type ARRAY but found STRING:\n\"x\"",
            "nonvoting_replica_tags",
        );
    }

    #[test]
    fn what_one_server_cannot_do() {
        let failed =
            |options: &str, message: &str| refused(options, ErrorKind::OpFailed, message, "[]");
        failed(
            r#"{"shards":1,"replicas":0}"#,
            "You must set `replicas` to at least one. `replicas` includes the primary replica; if there are zero \
             replicas, there is nowhere to put the data.",
        );
        failed(r#"{"shards":65,"replicas":1}"#, "Maximum number of shards is 64.");
        failed(
            r#"{"shards":1,"replicas":{"default":1},"primary_replica_tag":"west"}"#,
            "Can't use server tag `west` for primary replicas because you specified no replicas in server tag `west`.",
        );
        failed(
            r#"{"shards":1,"replicas":{"default":1},"primary_replica_tag":"default","nonvoting_replica_tags":[2,["west"]]}"#,
            "You specified that the replicas in server tag `west` should be non-voting, but you didn't specify a number \
             of replicas in server tag `west`.",
        );
        failed(
            r#"{"shards":1,"replicas":{"default":1,"west":2},"primary_replica_tag":"default"}"#,
            "Can't put 2 replicas on servers with the tag `west` because there are only 0 servers with the tag `west`. \
             It's impossible to have more replicas of the data than there are servers.",
        );
    }

    #[test]
    fn what_it_can_do() {
        let server = Server::new();
        let options =
            r#"{"shards":2,"replicas":{"default":1,"west":0},"primary_replica_tag":"default"}"#;
        server.succeed(&format!(r#"[60,["t"],{options}]"#));
        server.check(r#"[43,[[170,[[174,[[15,["t"]]]],"shards"]]]]"#, "2");
    }

    #[test]
    fn databases_are_reconfigured_table_by_table() {
        let server = Server::new();
        let database = r#"[14,["test"]]"#;
        let options = r#"{"shards":3,"replicas":1}"#;
        for query in [format!("[179,[{database}]]"), format!("[176,[{database}],{options}]")] {
            server.check(&query, "{}");
        }
        for table in ["a", "b", "c"] {
            server.succeed(&format!(r#"[60,["{table}"]]"#));
        }
        let rows = r#"[38,[[173,[5]],[69,[[2,[1]],{"id":[10,[1]]}]]]]"#;
        server.succeed(&format!(r#"[56,[[15,["a"]],{rows}]]"#));
        server.check(&format!(r#"[170,[[179,[{database}]],"rebalanced"]]"#), "1");
        server.check(&format!(r#"[170,[[176,[{database}],{options}],"reconfigured"]]"#), "3");
        server.check(&format!(r#"[43,[[170,[[179,[{database}]],"status_changes"]]]]"#), "3");
        let dry = r#"{"shards":1,"replicas":1,"dry_run":true}"#;
        server.check(
            &format!("[94,[[176,[{database}],{dry}]]]"),
            r#"["config_changes","reconfigured"]"#,
        );
        server.check(r#"[43,[[170,[[174,[[15,["b"]]]],"shards"]]]]"#, "3");
        server.check(&format!("[177,[{database}]]"), r#"{"ready":3}"#);
    }

    #[test]
    fn repairs_are_of_tables_that_need_them() {
        let server = Server::new();
        server.succeed(r#"[60,["t"]]"#);
        let how = r#""emergency_repair":"unsafe_rollback""#;
        for (query, kind, message) in [
            (
                format!(r#"[176,[[15,["t"]]],{{{how}}}]"#),
                ErrorKind::OpFailed,
                "This table doesn't need to be repaired.",
            ),
            (
                format!(r#"[176,[[15,["t"]]],{{{how},"shards":1}}]"#),
                ErrorKind::Logic,
                "In emergency repair mode, you can't specify shards, replicas, etc.",
            ),
            (
                format!(r#"[176,[[14,["test"]]],{{{how}}}]"#),
                ErrorKind::Logic,
                "Can't emergency repair an entire database at once; instead you should run `reconfigure()` on each \
                 table individually.",
            ),
        ] {
            match server.run_with(&query, "{}") {
                Outcome::Error(found, text, _) if found == kind && text == message => {}
                other => panic!("{query}: {other:?}"),
            }
        }
        let regular = r#"[170,[[176,[[15,["t"]]],{"emergency_repair":null,"shards":1,"replicas":1}],"reconfigured"]]"#;
        server.check(regular, "1");
    }

    #[test]
    fn system_tables_are_as_they_are() {
        for (term, what) in [("179", "rebalance"), ("176", "configure")] {
            for target in [r#"[14,["rethinkdb"]]"#, r#"[15,[[14,["rethinkdb"]],"users"]]"#] {
                let message =
                    format!("Database `rethinkdb` is special; you can't {what} the tables in it.");
                let options = if term == "176" { r#",{"shards":1,"replicas":1}"# } else { "" };
                let query = format!("[{term},[{target}]{options}]");
                check_error(&query, ErrorKind::OpFailed, &message, "[]");
            }
        }
        let message = "Database `rethinkdb` is special; the system tables in it are always available and don't need to \
                       be waited on.";
        check_error(r#"[177,[[14,["rethinkdb"]]]]"#, ErrorKind::OpFailed, message, "[]");
    }
}
