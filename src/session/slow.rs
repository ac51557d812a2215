//! Tells of queries that took long, if the operator asked for that. The line has the terms of the query and none of its
//! values: a log is read by those who may not read the data.

use std::time::Duration;

use tracing::warn;

use crate::limits;
use crate::reql::Program;
use crate::reql::running::Client;

use super::service::Service;

/// Writes a line to the log if the query took long until its first answer.
pub(super) fn tell(service: &Service, client: &Client, program: &Program, took: Duration) {
    let Some(bound) = service.slow_query.filter(|bound| took >= *bound) else { return };
    warn!(
        "slow query, {} ms (the bound is {} ms), of user {:?} from {}: {}",
        took.as_millis(),
        bound.as_millis(),
        short(&client.user),
        client.address,
        program.outline(limits::SLOW_QUERY_BYTES),
    );
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
        let program = compile(query, "{}").unwrap();
        tracing::subscriber::with_default(subscriber, || {
            for took in [19, 20] {
                tell(&service, &client(), &program, Duration::from_millis(took));
            }
        });
        let [line] = &lines.all()[..] else { panic!("{:?}", lines.all()) };
        let text = "slow query, 20 ms (the bound is 20 ms), of user \"admin\" from 127.0.0.1:1: \
                    r.table(\"accounts\").get(..).update({\"password\": ..})";
        assert_eq!(line.message, text);
    }
}
