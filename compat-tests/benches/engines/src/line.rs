//! A figure, as a line that machines read: six fields with tabs between them. Must not know what is measured.

use std::fmt;

use crate::stores::Engine;

/// A figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The workload, as on the command line, or a part of it.
    pub workload: String,
    /// The engine's name.
    pub engine: String,
    /// Bytes of a value, or 0 where that says nothing.
    pub value_bytes: usize,
    /// What was measured.
    pub metric: String,
    /// The figure.
    pub figure: f64,
    /// Its unit.
    pub unit: String,
}

/// Writes the figures of one workload.
pub struct Lines {
    workload: String,
    engine: Engine,
    value_bytes: usize,
}

impl Lines {
    /// For a workload on an engine.
    pub fn new(workload: impl Into<String>, engine: Engine, value_bytes: usize) -> Self {
        Self { workload: workload.into(), engine, value_bytes }
    }

    /// A figure.
    pub fn line(&self, metric: &str, figure: f64, unit: &str) -> Line {
        Line {
            workload: self.workload.clone(),
            engine: self.engine.to_string(),
            value_bytes: self.value_bytes,
            metric: metric.to_owned(),
            figure,
            unit: unit.to_owned(),
        }
    }

    /// Prints a figure.
    pub fn say(&self, metric: &str, figure: f64, unit: &str) {
        println!("{}", self.line(metric, figure, unit));
    }
}

impl Line {
    /// Reads a line; none when it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('\t');
        let mut next = || fields.next().map(str::to_owned);
        let line = Self {
            workload: next()?,
            engine: next()?,
            value_bytes: next()?.parse().ok()?,
            metric: next()?,
            figure: next()?.parse().ok()?,
            unit: next()?,
        };
        next().is_none().then_some(line)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, engine, value_bytes, metric, figure, unit } = self;
        write!(formatter, "{workload}\t{engine}\t{value_bytes}\t{metric}\t{figure}\t{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let line = Lines::new("put", Engine::Redb, 256).line("rate", 1_234.5, "1/s");
        assert_eq!(Line::parse(&line.to_string()), Some(line));
        assert_eq!(Line::parse("something else"), None);
    }
}
