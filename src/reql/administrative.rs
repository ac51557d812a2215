//! Tells queries of administration: those that read or write one table of database `rethinkdb`, or one row of it that
//! `config` and `status` give, by terms whose work is bounded by its rows; and those that change the catalog. They may use the threads that are kept for
//! them, so that an operator can look at the jobs and end one, or give the cache another size, while other queries have
//! every thread. A term that may go on for ever, or make large values of small ones, is none of theirs: it would take these
//! threads too. So is one that waits for others, as `wait` does, and a function within a function: each of those multiplies
//! the work. What is left is bounded, but may be long where a query brings long arrays: see [`crate::limits::LANE_CHECKS`].

use photondb_protocol::numbers::TermType;

use super::program::Program;
use super::tree::{Call, Node, Op};
use crate::catalog::SYSTEM_DATABASE;
use crate::datum::Datum;
use crate::limits::LANE_DOCUMENTS;

impl Program {
    /// Whether it may use the threads that are kept for administration. Found out when it is asked for the first time: most
    /// queries are answered where they were read, and a long one is asked where it was compiled.
    pub fn is_administrative(&self) -> bool {
        let find_out = || {
            is_of_administration(self.root())
                && self.globals().iter().all(|(_, option)| is_named(option))
        };
        *self.is_administrative.get_or_init(find_out)
    }
}

/// Most queries are told from those of administration by their first table.
fn is_of_administration(root: &Node) -> bool {
    let mut tables = 0;
    changes_catalog(root)
        || (reads_system(root) && is_bounded(root, &mut tables, false) && tables == 1)
}

/// Whether it makes, drops or lists databases, tables or indexes, or grants permissions, all of which it names.
fn changes_catalog(root: &Node) -> bool {
    let Op::Call(call) = &root.op else { return false };
    let is_change = matches!(
        call.spec.term,
        TermType::DbCreate
            | TermType::DbDrop
            | TermType::DbList
            | TermType::Grant
            | TermType::IndexDrop
            | TermType::IndexList
            | TermType::TableCreate
            | TermType::TableDrop
            | TermType::TableList
    );
    is_change
        && call.args.iter().all(is_named)
        && call.optargs.iter().all(|(_, node)| is_constant(node))
}

/// Whether it is a constant, or a database or table by its name, which is not read.
fn is_named(node: &Node) -> bool {
    match &node.op {
        Op::Call(call) => {
            matches!(call.spec.term, TermType::Db | TermType::Table)
                && call.optargs.is_empty()
                && call.args.iter().all(is_named)
        }
        _ => is_constant(node),
    }
}

fn is_constant(node: &Node) -> bool {
    match &node.op {
        Op::Datum(_) => true,
        Op::Object(fields) => fields.iter().all(|(_, node)| is_constant(node)),
        Op::Var(_) | Op::ImplicitVar | Op::Func(_) | Op::Call(_) => false,
    }
}

/// Whether the table that the query begins with is a system table.
fn reads_system(root: &Node) -> bool {
    let mut node = root;
    while let Op::Call(call) = &node.op {
        match (call.spec.term, call.args.first()) {
            (TermType::Table, _) => return is_system(call),
            _ if is_system_row(call) => return true,
            (_, Some(first)) => node = first,
            (_, None) => return false,
        }
    }
    false
}

fn is_system(table: &Call) -> bool {
    let [database, name] = &table.args[..] else { return false };
    let Op::Call(database) = &database.op else { return false };
    database.spec.term == TermType::Db
        && matches!(&name.op, Op::Datum(Datum::String(_)))
        && matches!(
            database.args.first().map(|name| &name.op),
            Some(Op::Datum(Datum::String(name))) if **name == *SYSTEM_DATABASE
        )
}

/// Whether it is a row of a system table: what `config` or `status` says of a table or database that is called by its name.
fn is_system_row(call: &Call) -> bool {
    let is_named = |call: &Call| call.args.iter().all(|name| is_name(name) || is_database(name));
    matches!(call.spec.term, TermType::Config | TermType::Status)
        && call.optargs.is_empty()
        && matches!(&call.args[..], [of] if is_database(of) || matches!(
            &of.op,
            Op::Call(table) if table.spec.term == TermType::Table && is_named(table)
        ))
}

fn is_name(node: &Node) -> bool {
    matches!(&node.op, Op::Datum(Datum::String(_)))
}

fn is_database(node: &Node) -> bool {
    matches!(&node.op, Op::Call(call) if call.spec.term == TermType::Db && call.args.iter().all(is_name))
}

/// Follows the query down, which is no deeper than queries may be.
fn is_bounded(node: &Node, tables: &mut usize, in_function: bool) -> bool {
    match &node.op {
        Op::Datum(_) | Op::Var(_) | Op::ImplicitVar => true,
        Op::Object(fields) => fields.iter().all(|(_, node)| is_bounded(node, tables, in_function)),
        Op::Func(func) => !in_function && is_bounded(&func.body, tables, true),
        Op::Call(call) => {
            let is_table = call.spec.term == TermType::Table;
            if is_system_row(call) {
                *tables += 1;
                return true;
            }
            *tables += usize::from(is_table);
            (if is_table { is_system(call) } else { is_bounded_term(call.spec.term) })
                && (call.spec.term != TermType::Merge || merges_values(call))
                && writes_little(call)
                && call.args.iter().all(|node| is_bounded(node, tables, in_function))
                && call.optargs.iter().all(|(_, node)| is_bounded(node, tables, in_function))
        }
    }
}

/// Whether a write changes few rows, or those in no time. Once it has changed one it cannot start over on the pool, however long it takes.
fn writes_little(call: &Call) -> bool {
    match call.spec.term {
        TermType::Insert => call.args.iter().skip(1).all(is_few),
        TermType::Delete | TermType::Replace | TermType::Update => {
            call.args.first().is_some_and(has_few_rows)
        }
        _ => true,
    }
}

fn is_few(documents: &Node) -> bool {
    match &documents.op {
        Op::Datum(Datum::Array(documents)) => documents.len() <= LANE_DOCUMENTS,
        Op::Datum(_) | Op::Object(_) => true,
        Op::Call(call) if call.spec.term == TermType::MakeArray => {
            call.args.len() <= LANE_DOCUMENTS
        }
        Op::Call(_) | Op::Func(_) | Op::Var(_) | Op::ImplicitVar => false,
    }
}

/// Whether it is a row, or rows of a table that are changed in no time each: those of users are not, which may have their
/// passwords hashed.
fn has_few_rows(selection: &Node) -> bool {
    let mut node = selection;
    while let Op::Call(call) = &node.op {
        let is_row = call.spec.term == TermType::Get || is_system_row(call);
        match (&call.args[..], call.spec.term) {
            _ if is_row => return true,
            ([_, name], TermType::Table) => {
                return !matches!(&name.op, Op::Datum(Datum::String(name)) if &**name == "users");
            }
            ([first, ..], _) => node = first,
            ([], _) => return false,
        }
    }
    false
}

/// A function could put what it is merged with into itself, and another one that again.
fn merges_values(merge: &Call) -> bool {
    merge.args.iter().skip(1).all(|node| !matches!(node.op, Op::Func(_)))
}

fn is_bounded_term(term: TermType) -> bool {
    matches!(
        term,
        TermType::Add
            | TermType::And
            | TermType::Asc
            | TermType::Bracket
            | TermType::CoerceTo
            | TermType::Contains
            | TermType::Count
            | TermType::Db
            | TermType::Default
            | TermType::Delete
            | TermType::Desc
            | TermType::Eq
            | TermType::Filter
            | TermType::Ge
            | TermType::Get
            | TermType::GetAll
            | TermType::GetField
            | TermType::Gt
            | TermType::HasFields
            | TermType::Insert
            | TermType::IsEmpty
            | TermType::Le
            | TermType::Limit
            | TermType::Lt
            | TermType::MakeArray
            | TermType::Match
            | TermType::Merge
            | TermType::Ne
            | TermType::Not
            | TermType::Nth
            | TermType::Or
            | TermType::OrderBy
            | TermType::Pluck
            | TermType::Replace
            | TermType::Skip
            | TermType::Slice
            | TermType::Sub
            | TermType::TypeOf
            | TermType::Update
            | TermType::WithFields
            | TermType::Without
    )
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::compile;

    fn is_administrative(query: &str) -> bool {
        compile(query, "{}").unwrap().is_administrative()
    }

    /// A function whose body is this, with a function for the `F` in it.
    fn within(body: &str) -> String {
        let body = body.replace('F', "[69,[[2,[2]],[17,[[10,[2]],1]]]]");
        format!("[69,[[2,[1]],{body}]]")
    }

    const JOBS: &str = r#"[15,[[14,["rethinkdb"]],"jobs"]]"#;

    #[test]
    fn what_writes_a_row_of_one_system_table_is_administration() {
        let config = r#"[15,[[14,["rethinkdb"]],"server_config"]]"#;
        let users = r#"[15,[[14,["rethinkdb"]],"users"]]"#;
        let table = r#"[15,[[14,["test"]],"t"]]"#;
        let with_field = r#"[69,[[2,[1]],[35,[[10,[1]],{"cache_size_mb":64}]]]]"#;
        for query in [
            format!(r#"[53,[{config},{{"cache_size_mb":64}}]]"#),
            format!(
                r#"[53,[[16,[{config},"x"]],{{"cache_size_mb":64}}],{{"return_changes":true}}]"#
            ),
            format!("[55,[{config},{with_field}]]"),
            format!(r#"[56,[{users},{{"id":"bob","password":"p"}}]]"#),
            format!(r#"[54,[[16,[{users},"bob"]]]]"#),
            format!(r#"[53,[[174,[{table}]],{{"name":"u"}}]]"#),
            format!("[175,[{table}]]"),
            r#"[61,[[14,["test"]],"t"]]"#.to_owned(),
            format!(r#"[188,[{table},"bob",{{"read":true}}]]"#),
            r#"[60,["t"],{"primary_key":"k"}]"#.to_owned(),
        ] {
            assert!(is_administrative(&query), "{query}");
        }
        let itself = r#"[35,[[10,[1]],[69,[[2,[2]],{"a":[10,[2]]}]]]]"#;
        for query in [
            format!("[53,[{table},{{}}]]"),
            format!("[53,[{config},[69,[[2,[1]],{itself}]]]]"),
            format!("[56,[{users},{table}]]"),
            format!("[56,[{users},[2,[{}]]]]", vec![r#"{"id":"u"}"#; 17].join(",")),
            format!(r#"[53,[{users},{{"password":"p"}}]]"#),
            format!("[54,[[39,[{users},{{}}]]]]"),
            format!("[56,[{table},{users}]]"),
            format!("[177,[{table}]]"),
            r#"[60,[[24,["t",[43,[[173,[9000000000000000]]]]]]]]"#.to_owned(),
            r#"[174,[[15,[[14,["test"]],[43,[[173,[9000000000000000]]]]]]]]"#.to_owned(),
        ] {
            assert!(!is_administrative(&query), "{query}");
        }
    }

    #[test]
    fn what_reads_one_system_table_within_bounds_is_administration() {
        let by_text = r#"[69,[[2,[1]],[97,[[170,[[170,[[10,[1]],"info"]],"query"]],"range"]]]]"#;
        for query in [
            JOBS.to_owned(),
            format!(r#"[54,[[16,[{JOBS},[2,["query","x"]]]]]]"#),
            format!("[54,[[39,[{JOBS},{by_text}]]]]"),
            format!("[43,[{JOBS}]]"),
        ] {
            assert!(is_administrative(&query), "{query}");
        }
        let endless = "[43,[[173,[9000000000000000]]]]";
        for query in [
            "[15,[\"jobs\"]]".to_owned(),
            "[173,[10]]".to_owned(),
            r#"[15,[[14,["test"]],"jobs"]]"#.to_owned(),
            format!("[39,[{JOBS},[69,[[2,[1]],[17,[{endless},1]]]]]]"),
            format!("[39,[{JOBS},[69,[[2,[1]],[17,[[43,[{JOBS}]],1]]]]]]"),
            format!("[38,[{JOBS},[69,[[2,[1]],[2,[[10,[1]],[10,[1]]]]]]]]"),
            format!("[152,[{JOBS}]]"),
            format!("[24,[[43,[{JOBS}]],{endless}]]"),
            format!("[39,[{JOBS},{}]]", within(r#"[39,[[2,[1,2]],F]]"#)),
            format!("[39,[{JOBS},{}]]", within(r#"[93,[[2,[1,2]],F]]"#)),
            format!("[41,[{JOBS},{}]]", within(r#"[41,[[2,[1,2]],F]]"#)),
        ] {
            assert!(!is_administrative(&query), "{query}");
        }
    }
}
