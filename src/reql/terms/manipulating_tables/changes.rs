//! `changes`: a feed of what happens to a document, to the documents of a table or of a range of it, or to what is made
//! of them one by one.

use photondb_protocol::numbers::TermType;

use crate::changefeed::Interest;
use crate::datum::Datum;
use crate::limits::FEED_QUEUE_CHANGES;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Effect};
use crate::reql::selection::{SingleSelection, TableVal};
use crate::reql::spec::{Arity, Chapter, Grouping, Status, TermSpec};
use crate::reql::stream::{Origin, no_origin};
use crate::reql::system;
use crate::reql::table_ref::TableIndex;
use crate::reql::value::{Val, ValKind};
use crate::storage::Direction;

use super::change_stream::ChangeStream;
use super::initial::Initial;

pub static CHANGES: TermSpec = TermSpec {
    options: &[
        "squash",
        "changefeed_queue_size",
        "include_initial",
        "include_offsets",
        "include_states",
        "include_types",
    ],
    grouping: Grouping::Whole,
    // What reads a feed may wait for it.
    cost: Cost::Heavy,
    status: Status::Without(
        "feeds of secondary indexes, of several sequences and of limits; offsets; squashing with a delay",
    ),
    ..TermSpec::on_tables(
        Effect::Read,
        TermType::Changes,
        "CHANGES",
        Chapter::ManipulatingTables,
        Arity::exactly(1),
        changes,
    )
};

fn changes(args: &Args<'_>) -> Result<Val> {
    let target = args.arg(0)?;
    let env = args.env;
    let (is_system, what) = match &target.kind {
        ValKind::Table(slice) => (slice.table.is_system(), "range"),
        ValKind::Selection(selection) => (selection.table.is_system(), "range"),
        ValKind::SingleSelection(single) => (single.table.is_system(), "point"),
        _ => (false, "range"),
    };
    let options = Options::read(args, is_system, what)?;
    let at = target.at;
    let stream = match target.kind {
        ValKind::Table(TableVal { index: Some(TableIndex::Secondary(_)), .. }) => {
            return Err(no_origin(false));
        }
        ValKind::GroupedStream(_) => return Err(no_origin(true)),
        ValKind::Table(slice) => {
            let range = slice.key_range()?;
            range_feed(env, Origin::new(slice.table, range, slice.order), options)?
        }
        ValKind::SingleSelection(single) => point_feed(env, single, options)?,
        ValKind::Selection(selection) => {
            let origin = selection.stream.origin().map_err(|error| error.at(at))?;
            range_feed(env, origin, options)?
        }
        ValKind::Sequence(stream) => {
            let origin = stream.origin().map_err(|error| error.at(at))?;
            if origin.transforms.is_empty() {
                // All documents of a table, because they are distinct: what that has become is no longer the table.
                return Err(no_origin(true).at(at));
            }
            range_feed(env, origin, options)?
        }
        ValKind::Datum(Datum::Array(_)) => return Err(no_origin(true).at(at)),
        kind => {
            // Not a sequence at all: the error says so.
            Val::new(kind, at).into_stream(env)?;
            return Err(no_origin(true));
        }
    };
    args.stream_value(Box::new(stream))
}

fn point_feed(env: &Env, single: SingleSelection, options: Options) -> Result<ChangeStream> {
    let interest = Interest::Point(single.key.clone());
    if single.table.is_system() {
        let watch = system::watch(env, &single.table)?;
        let mut feed = ChangeStream::open(env, &single.table, interest, options);
        let now = watch.snapshot()?;
        let found = now.rows.get(&single.key).cloned();
        feed.watch(watch, now.sequence);
        feed.begin(now.sequence, Initial::Point(found));
        return Ok(feed);
    }
    let mut feed = ChangeStream::open(env, &single.table, interest, options);
    if options.include_initial {
        let reader = env.reader(&single.table)?;
        let found = reader
            .get(&single.key, env.read_mode())
            .map_err(|error| env.table_error(&single.table, error))?;
        let found = found.map(|document| document.detached());
        feed.begin(reader.sequence(), Initial::Point(found));
    }
    Ok(feed)
}

fn range_feed(env: &Env, origin: Origin, options: Options) -> Result<ChangeStream> {
    if origin.limit.is_some() {
        return Err(no_limit(&origin));
    }
    let (table, range) = (origin.table.clone(), origin.range.clone());
    let direction = origin.order.unwrap_or(Direction::Forward);
    let interest = Interest::Range(range.clone());
    if table.is_system() {
        let watch = system::watch(env, &table)?;
        let mut feed = ChangeStream::open(env, &table, interest, options).of(origin);
        let now = watch.snapshot()?;
        let rows = now.rows.into_iter().filter(|(key, _)| range.contains(key.as_bytes()));
        let rows = rows.map(|(_, row)| row).collect();
        feed.watch(watch, now.sequence);
        feed.begin(now.sequence, Initial::Rows(rows));
        return Ok(feed);
    }
    let mut feed = ChangeStream::open(env, &table, interest, options).of(origin);
    if options.include_initial {
        feed.begin_range(range, direction);
    }
    Ok(feed)
}

fn no_limit(origin: &Origin) -> Error {
    if origin.order.is_none() {
        Error::logic("Cannot get changes on the first elements of an unordered stream.")
    } else if origin.table.is_system() {
        Error::op_failed("System tables don't support changefeeds on `.limit()`.")
    } else {
        no_origin(false)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Whether several changes of a document that wait become one. Nothing is squashed of system tables, which are
    /// compared now and then.
    pub(super) squash: bool,
    pub(super) queue: usize,
    pub(super) include_initial: bool,
    pub(super) include_states: bool,
    pub(super) include_types: bool,
}

impl Options {
    fn read(args: &Args<'_>, is_system: bool, what: &str) -> Result<Options> {
        let squash = match args.optarg("squash")? {
            None => false,
            Some(val) => read_squash(val, args.env, is_system)?,
        };
        let queue = match args.optarg("changefeed_queue_size")? {
            None => FEED_QUEUE_CHANGES,
            Some(val) => {
                let size = val.integer(args.env)?;
                usize::try_from(size).ok().filter(|size| *size >= 1).ok_or_else(|| {
                    Error::logic(format!(
                        "Illegal changefeed queue size `{size}`.  (Must be >= 1.)"
                    ))
                })?
            }
        };
        if args.optarg_bool("include_offsets", false)? {
            let message = format!("Cannot include offsets for {what} subs.");
            return Err(if is_system { Error::op_failed(message) } else { Error::logic(message) });
        }
        Ok(Options {
            squash: squash && !is_system,
            queue,
            include_initial: args.optarg_bool("include_initial", false)?,
            include_states: args.optarg_bool("include_states", false)?,
            include_types: args.optarg_bool("include_types", false)?,
        })
    }
}

/// Feeds of system tables take every form and squash nothing.
fn read_squash(val: Val, env: &Env, is_system: bool) -> Result<bool> {
    let at = val.at;
    match val.into_datum(env)? {
        Datum::Bool(squash) => Ok(squash),
        Datum::Number(seconds) if seconds < 0.0 => {
            Err(Error::logic("Expected BOOL or a positive NUMBER but found a negative NUMBER.")
                .at(at))
        }
        Datum::Number(_) if is_system => Ok(false),
        Datum::Number(_) => {
            Err(Error::logic("`squash` with a delay is not supported by this server yet.").at(at))
        }
        other => {
            Err(Error::logic(format!("Expected BOOL or NUMBER but found {}.", other.type_name()))
                .at(at))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::{Outcome, Server, check_batch};

    #[test]
    fn what_becomes_null_is_told_of_as_what_is_not_there() {
        let server = Server::new();
        let table = r#"[15,["t"]]"#;
        server.succeed(r#"[60,["t"]]"#);
        server.succeed(&format!(r#"[56,[{table},{{"id":1,"v":null}}]]"#));
        let options = r#"{"include_initial":true,"include_states":true,"include_types":true}"#;
        let values = format!(r#"[38,[{table},[69,[[2,[1]],[170,[[10,[1]],"v"]]]]]]"#);
        let mut feed = server.open(&format!("[152,[{values}],{options}]"));
        // The first answer of a feed is empty.
        check_batch(&mut feed, "[]");
        check_batch(
            &mut feed,
            r#"[{"state":"initializing","type":"state"},{"state":"ready","type":"state"}]"#,
        );
        for (value, row) in [
            ("5", r#"[{"new_val":5,"old_val":null,"type":"add"}]"#),
            ("6", r#"[{"new_val":6,"old_val":5,"type":"change"}]"#),
            ("null", r#"[{"new_val":null,"old_val":6,"type":"remove"}]"#),
        ] {
            server.succeed(&format!(r#"[53,[[16,[{table},1]],{{"v":{value}}}]]"#));
            check_batch(&mut feed, row);
        }
        server.succeed(&format!(r#"[54,[[16,[{table},1]]]]"#));
        check_batch(&mut feed, "[]");
    }

    #[test]
    fn what_is_computed_from_rows_together_is_eager() {
        let server = Server::new();
        let table = r#"[15,["t"]]"#;
        server.succeed(r#"[60,["t"]]"#);
        server.succeed(&format!(r#"[75,[{table},"v"]]"#));
        server.succeed(&format!("[140,[{table}]]"));
        let message = |stream: &str| match server.run_with(&format!("[152,[{stream}]]"), "{}") {
            Outcome::Error(_, message, _) => message,
            other => panic!("{stream}: {other:?}"),
        };
        let eager = "Cannot call `changes` on an eager stream.";
        for stream in [
            format!(r#"[50,[{table},"v",{table}]]"#),
            format!("[70,[{table},1]]"),
            format!("[87,[{table},1]]"),
            format!(r#"[41,[{table},"w"],{{"index":"v"}}]"#),
            "[173,[]]".to_owned(),
            format!("[44,[{table},[173,[5]]]]"),
        ] {
            assert_eq!(message(&stream), eager, "{stream}");
        }
        let later = "`changes` on such a stream is not supported by this server yet.";
        for stream in [format!("[78,[{table},1]]"), format!("[44,[{table},{table}]]")] {
            assert_eq!(message(&stream), later, "{stream}");
        }
    }

    #[test]
    fn a_part_of_an_eager_stream_blames_what_it_is_a_part_of() {
        let server = Server::new();
        server.succeed(r#"[60,["t"]]"#);
        let table = r#"[15,["t"]]"#;
        for stream in [format!("[70,[{table},1]]"), format!(r#"[71,[[41,[{table},"v"]],2]]"#)] {
            let outcome = server.run_with(&format!("[152,[{stream}]]"), "{}");
            let Outcome::Error(_, message, place) = outcome else {
                panic!("{stream}: {outcome:?}")
            };
            assert_eq!(message, "Cannot call `changes` on an eager stream.");
            assert_eq!(place, "[0,0]", "{stream}");
        }
    }
}
