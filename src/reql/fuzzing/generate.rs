//! Queries as bytes decide them: the terms are those that have rows, with as many arguments as the rows allow, and the
//! values are those that terms tend to stumble over.

use photondb_protocol::numbers::TermType;

use crate::reql::spec::TermSpec;
use crate::reql::terms;

/// Terms that run scripts, or reach other servers.
pub(super) const LEFT_OUT: [TermType; 2] = [TermType::Javascript, TermType::Http];

/// Levels of terms within each other.
const DEPTH: u32 = 6;
/// Bytes of a query after which only leaves come.
const BYTES: usize = 8 * 1024;

/// Values, as JSON or terms.
const LEAVES: [&str; 48] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "2",
    "1.5",
    "-0.0",
    "1e308",
    "9007199254740993",
    "-9007199254740992",
    "86400",
    "100000",
    "\"\"",
    "\"a\"",
    "\"v\"",
    "\"g\"",
    "\"id\"",
    "\"t\"",
    "\"é😀\\u0000\"",
    "\"(a+)+$\"",
    "\"%Y\"",
    "\"+23:59\"",
    "\"2014-05-13T16:53:20.123+00:00\"",
    "\"STRING\"",
    "\"ARRAY\"",
    "\"uuid\"",
    "[2,[]]",
    "[2,[1,2,2,\"a\"]]",
    "[2,[[2,[]],null]]",
    "{}",
    "{\"a\":1}",
    "{\"a\":{\"b\":[2,[1]]},\"v\":true}",
    "{\"id\":1,\"v\":2}",
    "[13,[]]",
    "[173,[]]",
    "[173,[5]]",
    "[180,[]]",
    "[181,[]]",
    "[103,[1.5]]",
    "[159,[1,2]]",
    "[159,[-180,90]]",
    "[160,[[159,[0,0]],[2,[10,0]],[2,[10,10]]]]",
    "[161,[[2,[0,0]],[2,[0,5]],[2,[5,5]]]]",
    "{\"$reql_type$\":\"BINARY\",\"data\":\"AAEC\"}",
    "[137,[1]]",
    "[169,[]]",
];

/// Sequences and selections.
const TABLES: [&str; 10] = [
    "[15,[\"t\"]]",
    "[15,[\"t\"]]",
    "[15,[\"u\"]]",
    "[15,[\"t\"],{\"identifier_format\":\"uuid\"}]",
    "[16,[[15,[\"t\"]],1]]",
    "[182,[[15,[\"t\"]],1,[181,[]]]]",
    "[78,[[15,[\"t\"]],2],{\"index\":\"v\"}]",
    "[41,[[15,[\"t\"]]],{\"index\":\"v\"}]",
    "[15,[[14,[\"rethinkdb\"]],\"table_config\"]]",
    "[15,[[14,[\"rethinkdb\"]],\"users\"]]",
];

/// Global options.
const OPTIONS: [&str; 8] = [
    "{}",
    "{}",
    "{}",
    "{\"array_limit\":4}",
    "{\"profile\":true}",
    "{\"max_batch_rows\":1}",
    "{\"read_mode\":\"outdated\",\"min_batch_rows\":3}",
    "{\"durability\":\"soft\",\"noreply\":true}",
];

/// The body of a query.
pub(super) fn query(data: &[u8]) -> String {
    let mut choices = Choices { data, out: String::from("[1,"), variables: 0 };
    choices.term(DEPTH);
    choices.out.push(',');
    let options = choices.pick(&OPTIONS);
    choices.out.push_str(options);
    choices.out.push(']');
    choices.out
}

struct Choices<'a> {
    data: &'a [u8],
    out: String,
    /// Variables of the functions around.
    variables: usize,
}

impl Choices<'_> {
    /// The next byte; 0 when there is none left.
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.data.split_first() else { return 0 };
        self.data = rest;
        usize::from(*first)
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        let at = self.next() % from.len().max(1);
        from.get(at).copied().unwrap_or("null")
    }

    fn term(&mut self, depth: u32) {
        if depth == 0 || self.data.is_empty() || self.out.len() > BYTES {
            return self.leaf();
        }
        match self.next() % 8 {
            0 => self.leaf(),
            1 => {
                let table = self.pick(&TABLES);
                self.out.push_str(table);
            }
            _ => self.call(depth - 1),
        }
    }

    fn leaf(&mut self) {
        let choice = self.next();
        if self.variables > 0 && choice.is_multiple_of(3) {
            let variable = 1 + choice / 3 % self.variables;
            self.out.push_str(&format!("[10,[{variable}]]"));
        } else {
            self.out.push_str(LEAVES.get(choice % LEAVES.len()).copied().unwrap_or("null"));
        }
    }

    fn call(&mut self, depth: u32) {
        let rows: Vec<&TermSpec> = usable().collect();
        let at = self.next() << 8 | self.next();
        let Some(row) = rows.get(at % rows.len().max(1)) else { return self.leaf() };
        self.out.push_str(&format!("[{},[", row.term.number()));
        let choice = self.next();
        let most = row.arity.max.unwrap_or(usize::MAX).min(row.arity.min + 2);
        let count = row.arity.min + choice % (most - row.arity.min + 1);
        for at in 0..count {
            if at > 0 {
                self.out.push(',');
            }
            self.argument(row, at, depth);
        }
        self.out.push(']');
        self.options(row, choice / 8, depth);
        self.out.push(']');
    }

    fn argument(&mut self, row: &TermSpec, at: usize, depth: u32) {
        match (at, self.next() % 4) {
            (0, 0..=2) if row.takes_table_whole => {
                let table = self.pick(&TABLES);
                self.out.push_str(table);
            }
            (1.., 0) => self.function(depth),
            _ => self.term(depth),
        }
    }

    fn function(&mut self, depth: u32) {
        let parameters = 1 + self.next() % 2;
        let names: Vec<String> =
            (1..=parameters).map(|name| (self.variables + name).to_string()).collect();
        self.out.push_str(&format!("[69,[[2,[{}]],", names.join(",")));
        self.variables += parameters;
        self.term(depth);
        self.variables -= parameters;
        self.out.push_str("]]");
    }

    fn options(&mut self, row: &TermSpec, choice: usize, depth: u32) {
        if row.options.is_empty() || choice.is_multiple_of(2) {
            return;
        }
        let name = row.options.get(self.next() % row.options.len()).copied().unwrap_or_default();
        self.out.push_str(&format!(",{{\"{name}\":"));
        if self.next().is_multiple_of(4) {
            self.function(depth)
        } else {
            self.term(depth.min(1))
        }
        self.out.push('}');
    }
}

fn usable() -> impl Iterator<Item = &'static TermSpec> {
    terms::rows().filter(|row| !LEFT_OUT.contains(&row.term))
}
