//! Tells of queries that took long, if the operator asked for that: until their first answer, and for each later batch that
//! was evaluated. The line says how that ended, and has the terms of the query and none of its
//! values: a log is read by those who may not read the data.

use std::time::Duration;

use tracing::warn;

use crate::limits;
use crate::reql::Program;
use crate::reql::running::{Client, Running};

use super::ending::{Ending, short};
use super::service::Service;

/// What is told of a query beside how long it took and how it ended.
pub(super) struct Slow<'q> {
    /// Who asked.
    pub client: &'q Client,
    /// What was asked.
    pub program: &'q Program,
    /// Its place among the queries that run, if it had one.
    pub running: Option<&'q Running>,
    /// Whether it came over HTTP.
    pub is_http: bool,
    /// Which batch was evaluated: the first is the first answer.
    pub batch: u64,
}

/// Writes a line to the log if a batch took long to evaluate, or to end.
pub(super) fn tell(service: &Service, of: &Slow<'_>, ending: &Ending, took: Duration) {
    let Some(bound) = service.slow_query.filter(|bound| took >= *bound) else { return };
    let Slow { client, program, running, is_http, batch } = of;
    let what =
        if *batch > 1 { format!("slow query in batch {batch}") } else { "slow query".into() };
    let job = running.map(|running| format!(", job {}", running.id())).unwrap_or_default();
    warn!(
        "{what}, {} ms (the bound is {} ms), {}, of user {:?} from {}{}{job}{}: {}",
        took.as_millis(),
        bound.as_millis(),
        ending.word(),
        short(&client.user),
        client.address,
        if *is_http { " over HTTP" } else { "" },
        database(program),
        program.outline(limits::SLOW_QUERY_BYTES),
    );
}

/// The database of tables that are named without one, when that is not `test`.
fn database(program: &Program) -> String {
    let outline = program.outline_of_global("db", limits::SLOW_QUERY_BYTES);
    outline.map(|database| format!(" in {database}")).unwrap_or_default()
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
        let client = client();
        let of =
            Slow { client: &client, program: &program, running: None, is_http: false, batch: 1 };
        tracing::subscriber::with_default(subscriber, || {
            for took in [19, 20] {
                tell(&service, &of, &Ending::Answered, Duration::from_millis(took));
            }
        });
        let [line] = &lines.all()[..] else { panic!("{:?}", lines.all()) };
        let text = "slow query, 20 ms (the bound is 20 ms), answered, of user \"admin\" from 127.0.0.1:1 in r.db(\"shop\"): \
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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_line_tells_how_the_query_ended_and_under_which_id_it_ran() {
        use serde_json::{Value, json};

        let lines = Arc::new(LogLines::default());
        let subscriber = tracing_subscriber::registry().with(Keep(lines.clone()));
        let _guard = tracing::subscriber::set_default(subscriber);
        let mut service = Arc::into_inner(service()).unwrap();
        service.slow_query = Some(Duration::from_millis(1));
        let service = Arc::new(service);
        let mut client = super::super::jobs_tests::Client::new(&service);
        let long = |body: Value| json!([43, [[39, [[173, [30_000]], [69, [[2, [1]], body]]]]]]);
        let endless = json!([
            43,
            [[39, [[173, [9_000_000_000_000_000u64]], [69, [[2, [1]], [17, [[10, [1]], -1]]]]]]]
        ]);
        client.start(1, &long(json!([17, [[10, [1]], -1]])));
        client.answer().await;
        let fails = json!([65, [[17, [[10, [1]], 29_999]], [12, ["x"]], false]]);
        client.start(2, &long(fails));
        client.answer().await;
        client.send(3, &json!([1, endless, { "timeout_ms": 20 }]));
        client.answer().await;
        client.start(4, &endless);
        client.begin().await;
        let ids: Vec<_> = service.context.running.all().iter().map(|query| query.id()).collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.send(4, &json!([3]));
        client.answer().await;
        let told: Vec<String> = lines.all().iter().map(|line| line.message.clone()).collect();
        let told: Vec<&String> = told.iter().filter(|line| line.starts_with("slow")).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        for (line, word) in told.iter().zip(["answered", "failed", "out of time", "stopped"]) {
            let who = format!(", {word}, of user \"admin\" from 127.0.0.1:1, job ");
            assert!(line.contains(&who), "{line}");
        }
        assert!(told[3].contains(&format!(", job {}: ", ids[0])), "{ids:?} {told:?}");
    }
}
