//! A server's answer in pages: each is asked for when its rows are wanted, at the address that the one before it tells.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::function::Func;
use crate::reql::http_client::{Cookies, Request};
use crate::reql::stream::{BatchSpec, Stream};
use crate::reql::value::{Val, ValKind};

use super::options::checked_params;

/// How the next page is found.
#[derive(Debug)]
pub(super) enum NextPage {
    /// The header has a link to it.
    Link,
    /// A function tells: an address, new parameters, or null at the end.
    Func(Func),
}

impl NextPage {
    /// Reads the option `page`; none of null.
    pub(super) fn read(page: Val, env: &Env) -> Result<Option<NextPage>> {
        let at = page.at;
        let method = match page.kind {
            ValKind::Func(func) => return Ok(Some(NextPage::Func(func))),
            ValKind::Database(_) | ValKind::Table(_) => {
                return Err(page.type_error("FUNCTION", env));
            }
            _ => page.into_datum(env)?,
        };
        if matches!(method, Datum::Null) {
            return Ok(None);
        }
        match method.as_str().map_err(|error| Error::from(error).at(at))?.as_ref() {
            "link-next" => Ok(Some(NextPage::Link)),
            other => Err(Error::logic(format!(
                "`page` method '{other}' not recognized, only 'link-next' is available."
            ))
            .at(at)),
        }
    }

    fn of(&self, env: &Env, page: &Datum) -> Result<Datum> {
        match self {
            NextPage::Link => {
                let links = page.get("header").and_then(|header| header.get("link"));
                Ok(links
                    .and_then(|links| links.get("rel=\"next\""))
                    .cloned()
                    .unwrap_or(Datum::Null))
            }
            NextPage::Func(func) => func.call_datum(env, std::slice::from_ref(page)),
        }
    }
}

/// The pages as one stream of rows.
#[derive(Debug)]
pub(super) struct Pages {
    request: Request,
    cookies: Cookies,
    next: NextPage,
    /// Pages that may still be asked for; negative for any number.
    left: i64,
    rows: VecDeque<Datum>,
    at: NodeId,
}

impl Pages {
    pub(super) fn new(request: Request, next: NextPage, limit: i64, at: NodeId) -> Pages {
        Pages { request, cookies: Cookies::default(), next, left: limit, rows: VecDeque::new(), at }
    }

    fn fetch(&mut self, env: &Env) -> Result<()> {
        let request = Arc::new(self.request.clone());
        let cookies = std::mem::take(&mut self.cookies);
        let response = super::perform(env, &request, cookies).inspect_err(|_| self.left = 0)?;
        self.cookies = response.cookies;
        self.left = if self.left > 0 { self.left - 1 } else { self.left };
        if self.left != 0 {
            let page = Datum::object([
                ("params", Datum::Object(self.request.params.clone())),
                ("header", response.header),
                ("body", response.body.clone()),
            ]);
            match self.advance(env, &page) {
                Ok(true) => {}
                Ok(false) => self.left = 0,
                Err(error) => {
                    self.left = 0;
                    return Err(error);
                }
            }
        }
        match response.body {
            Datum::Array(values) => self.rows.extend(values.iter().cloned()),
            body => self.rows.push_back(body),
        }
        Ok(())
    }

    /// Makes the request that of the next page; false when there is none.
    fn advance(&mut self, env: &Env, page: &Datum) -> Result<bool> {
        let url = self.request.url.clone();
        let result = self.next.of(env, page).and_then(|told| self.turn_to(told));
        result.map_err(|error| {
            let text = format!(
                "Error in HTTP {} of `{url}`: {}.\nError occurred during `page` called with:\n{}\n",
                self.request.method.name(),
                error.message(),
                page.print()
            );
            Error::new(error.kind(), text).at(error.blamed().unwrap_or(self.at))
        })
    }

    fn turn_to(&mut self, told: Datum) -> Result<bool> {
        let fields = match &told {
            Datum::Null | Datum::String(_) => return self.turn_to_url(&told),
            Datum::Object(fields) => fields,
            other => {
                return Err(Error::logic(format!(
                    "Expected `page` to return an OBJECT, but found {}.",
                    other.type_name()
                )));
            }
        };
        let (url, params) = (fields.get("url"), fields.get("params"));
        if url.is_none() && params.is_none() {
            return Err(Error::logic(
                "OBJECT returned by `page` must contain `url` and/or `params` fields.",
            ));
        }
        if let Some(params) = params {
            for (name, value) in checked_params(params)?.iter() {
                let old =
                    std::mem::replace(&mut self.request.params, crate::datum::Object::empty());
                self.request.params = old.with(name.clone(), value.clone());
            }
        }
        url.map_or(Ok(true), |url| self.turn_to_url(url))
    }

    fn turn_to_url(&mut self, url: &Datum) -> Result<bool> {
        match url {
            Datum::Null => Ok(false),
            Datum::String(url) => {
                self.request.url = url.to_string();
                Ok(true)
            }
            other => Err(Error::logic(format!(
                "Expected `url` in OBJECT returned by `page` to be a STRING or NULL, but found {}.",
                other.type_name()
            ))),
        }
    }
}

impl Stream for Pages {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        while self.rows.is_empty() && self.left != 0 {
            env.check_interrupt_now()?;
            self.fetch(env).map_err(|error| error.at(self.at))?;
        }
        let count = self.rows.len().min(batch.max_rows);
        Ok(self.rows.drain(..count).collect())
    }

    fn is_exhausted(&self) -> bool {
        self.rows.is_empty() && self.left == 0
    }

    fn let_go(&mut self) {}
}
