//! `upcase` and `downcase`. Only ASCII letters have another case, as in RethinkDB.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::spec::{Arity, Chapter, TermSpec};

/// `string.upcase()`
pub static UPCASE: TermSpec = TermSpec::pure(
    TermType::Upcase,
    "UPCASE",
    Chapter::StringManipulation,
    Arity::exactly(1),
    |args| args.value(Datum::from(args.str(0)?.to_ascii_uppercase())),
);

/// `string.downcase()`
pub static DOWNCASE: TermSpec = TermSpec::pure(
    TermType::Downcase,
    "DOWNCASE",
    Chapter::StringManipulation,
    Arity::exactly(1),
    |args| args.value(Datum::from(args.str(0)?.to_ascii_lowercase())),
);

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn ascii_letters_change() {
        check(r#"[141,["aZ éß"]]"#, r#""AZ éß""#);
        check(r#"[142,["aZ ÀÉ"]]"#, r#""az ÀÉ""#);
        let text = "Expected type STRING but found NULL.";
        check_error("[141,[null]]", ErrorKind::NonExistence, text, "[0]");
    }
}
