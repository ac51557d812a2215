//! `uuid`: a random one, or always the same one for a text.

use photondb_protocol::numbers::TermType;
use uuid::Uuid;

use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::Determinism;
use crate::reql::named_uuid::named_uuid;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

/// RethinkDB's namespace for UUIDs made of texts: the same text has the same UUID on both servers.
const NAMESPACE: Uuid = Uuid::from_u128(0x91461c99_f89d_49d2_af96_d8e2e14e9b58);

pub static UUID: TermSpec = TermSpec {
    determinism: Determinism::WithArgument,
    ..TermSpec::pure(TermType::Uuid, "UUID", Chapter::ControlStructures, Arity::between(0, 1), uuid)
};

fn uuid(args: &Args<'_>) -> Result<Val> {
    let uuid =
        if args.is_empty() { Uuid::new_v4() } else { named_uuid(&NAMESPACE, &args.str(0)?)? };
    args.value(uuid.hyphenated().to_string())
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::{Outcome, check, run};

    #[test]
    fn a_text_has_one_uuid() {
        check("[169,[\"a\"]]", "\"d0333a3b-39b1-5201-b37a-7bfbf6542b5f\"");
        check("[169,[\"\"]]", "\"f2d40f5f-d4d6-5636-be6a-6156c1474aca\"");
    }

    #[test]
    fn others_are_random_by_their_form() {
        let Outcome::Value(made) = run("[169,[[154,[[2,[]]]]]]") else { panic!("no value") };
        let uuid = uuid::Uuid::parse_str(made.as_str().unwrap()).unwrap();
        assert_eq!(uuid.get_version(), Some(uuid::Version::Random));
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn others_differ() {
        let made = || match run("[169,[]]") {
            Outcome::Value(value) => value,
            other => panic!("{other:?}"),
        };
        assert_ne!(made(), made());
    }
}
