//! Tells of queries that took long, if the operator asked for that: until their first answer, and for each later batch that
//! was evaluated. The line has the terms of the query and none of its
//! values: a log is read by those who may not read the data.

use std::time::Duration;

use tracing::warn;

use crate::limits;
use crate::reql::Program;
use crate::reql::running::Client;

use super::service::Service;

/// Writes a line to the log if the query took long until its first answer.
pub(super) fn tell(service: &Service, client: &Client, program: &Program, took: Duration) {
    tell_batch(service, client, program, 1, took);
}

/// Writes a line to the log if a batch took long to evaluate. The first is the first answer.
pub(super) fn tell_batch(
    service: &Service,
    client: &Client,
    program: &Program,
    batch: u64,
    took: Duration,
) {
    let Some(bound) = service.slow_query.filter(|bound| took >= *bound) else { return };
    let what = if batch > 1 { format!("slow query in batch {batch}") } else { "slow query".into() };
    warn!(
        "{what}, {} ms (the bound is {} ms), of user {:?} from {}{}: {}",
        took.as_millis(),
        bound.as_millis(),
        short(&client.user),
        client.address,
        database(program),
        program.outline(limits::SLOW_QUERY_BYTES),
    );
}

/// The database of tables that are named without one, when that is not `test`.
fn database(program: &Program) -> String {
    let outline = program.outline_of_global("db", limits::SLOW_QUERY_BYTES);
    outline.map(|database| format!(" in {database}")).unwrap_or_default()
}

/// A name may be long.
fn short(user: &str) -> &str {
    const NAME_BYTES: usize = 64;
    user.get(..user.floor_char_boundary(NAME_BYTES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::super::testing::{client, service};
    use super::*;
    use crate::log_lines::{Keep, LogLines};
    use crate::reql::terms::testing::compile;

    #[tokio::test]
    async fn only_slow_queries_are_told_and_their_values_are_not() {
        let lines = Arc::new(LogLines::default());
        let subscriber = tracing_subscriber::registry().with(Keep(lines.clone()));
        let mut service = Arc::into_inner(service()).unwrap();
        service.slow_query = Some(Duration::from_millis(20));
        let query = r#"[53,[[16,[[15,["accounts"]],"bob"]],{"password":"hunter2"}]]"#;
        let program = compile(query, r#"{"db":[14,["shop"]]}"#).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            for took in [19, 20] {
                tell(&service, &client(), &program, Duration::from_millis(took));
            }
        });
        let [line] = &lines.all()[..] else { panic!("{:?}", lines.all()) };
        let text = "slow query, 20 ms (the bound is 20 ms), of user \"admin\" from 127.0.0.1:1 in r.db(\"shop\"): \
                    r.table(\"accounts\").get(..).update({\"password\": ..})";
        assert_eq!(line.message, text);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_batch_that_takes_long_is_told_with_its_number() {
        use serde_json::json;

        let lines = Arc::new(LogLines::default());
        let subscriber = tracing_subscriber::registry().with(Keep(lines.clone()));
        let _guard = tracing::subscriber::set_default(subscriber);
        let mut service = Arc::into_inner(service()).unwrap();
        service.slow_query = Some(Duration::from_millis(200));
        let mut client = super::super::jobs_tests::Client::new(&Arc::new(service));
        // A number that is divisible by 4 takes long: r.range().map(x => x % 4 == 3 ? long : x)
        let long =
            json!([43, [[39, [[173, [1_500_000]], [69, [[2, [2]], [17, [[10, [2]], -1]]]]]]]]);
        let is_last = json!([17, [[28, [[10, [1]], 4]], 3]]);
        let body = json!([65, [is_last, long, [10, [1]]]]);
        let rows = json!([38, [[173, [12]], [69, [[2, [1]], body]]]]);
        client
            .send(1, &json!([1, rows, { "max_batch_rows": 2, "first_batch_scaledown_factor": 1 }]));
        let (_, mut answer) = client.answer().await;
        while answer["t"] == 3 {
            client.send(1, &json!([2]));
            answer = client.answer().await.1;
        }
        assert_eq!(answer["t"], 2, "{answer}");
        let told: Vec<String> = lines.all().iter().map(|line| line.message.clone()).collect();
        let batch = |line: &String| line.split(',').next().unwrap_or_default().to_owned();
        let told: Vec<String> = told.iter().map(batch).collect();
        // On a machine that does other things as well, others may take long, too.
        for batch in [2, 4, 6] {
            assert!(told.contains(&format!("slow query in batch {batch}")), "{told:?}");
        }
    }
}
