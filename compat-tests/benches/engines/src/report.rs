//! What the figures say: a table for people, whether all engines read the same, and whether what they must reach is
//! reached. Must not know how they came about.

use std::fmt::Write as _;

use crate::line::Line;
use crate::stores::Engine;

/// What the figures of one run say.
pub struct Report {
    /// Figures of each workload and metric, an engine a column.
    pub table: String,
    /// What must be reached, and whether it is.
    pub verdicts: Vec<Verdict>,
    /// Workloads in which two engines read different bytes.
    pub differences: Vec<String>,
}

/// Whether something that must be reached is reached.
pub struct Verdict {
    /// What, and by how much.
    pub text: String,
    /// Whether it is.
    pub holds: bool,
}

/// What must be reached. `None` for a peer: the best one.
struct Demand {
    workload: &'static str,
    metric: &'static str,
    bound: Bound,
}

enum Bound {
    /// At least so many times the figure of a peer.
    Times(f64, Option<Engine>),
    /// At most so many times the least figure of the peers.
    Share(f64),
    /// At most so much.
    Most(f64),
    /// At most so many times another metric.
    Of(f64, &'static str),
}

const DEMANDS: [Demand; 13] = [
    Demand { workload: "load", metric: "rate", bound: Bound::Times(1.0, None) },
    Demand { workload: "load", metric: "disk", bound: Bound::Share(1.1) },
    Demand { workload: "read", metric: "rate", bound: Bound::Times(1.0, Some(Engine::Lmdb)) },
    Demand { workload: "read", metric: "rate", bound: Bound::Times(2.0, Some(Engine::Redb)) },
    Demand { workload: "scan", metric: "rate", bound: Bound::Times(1.0, Some(Engine::Redb)) },
    Demand { workload: "put-64", metric: "rate", bound: Bound::Times(5.0, Some(Engine::Redb)) },
    Demand { workload: "put-64", metric: "rate", bound: Bound::Times(1.0, Some(Engine::Fjall)) },
    Demand { workload: "beyond", metric: "rss", bound: Bound::Of(1.15, "budget") },
    Demand { workload: "count", metric: "mean", bound: Bound::Most(20.0) },
    Demand { workload: "recover", metric: "start", bound: Bound::Most(1_000.0) },
    Demand { workload: "open", metric: "start-cold", bound: Bound::Most(100.0) },
    Demand { workload: "reclaim", metric: "at-last", bound: Bound::Most(2.0) },
    Demand { workload: "stall", metric: "hard-longest-during", bound: Bound::Most(50.0) },
];

impl Report {
    /// Reads the figures.
    pub fn new(lines: &[Line]) -> Self {
        let mut verdicts = Vec::new();
        for demand in &DEMANDS {
            let ours = lines.iter().filter(|line| {
                line.engine == Engine::Slab.to_string()
                    && line.workload == demand.workload
                    && line.metric == demand.metric
            });
            verdicts.extend(ours.filter_map(|line| judge(demand, line, lines)));
        }
        Self { table: table(lines), verdicts, differences: differences(lines) }
    }
}

/// None when what it is to be compared with was not measured.
fn judge(demand: &Demand, ours: &Line, lines: &[Line]) -> Option<Verdict> {
    let others = lines.iter().filter(|line| {
        line.workload == ours.workload
            && line.value_bytes == ours.value_bytes
            && line.metric == ours.metric
            && line.engine != ours.engine
    });
    let what = format!("{} {} ({} bytes)", ours.workload, ours.metric, ours.value_bytes);
    let (text, holds) = match &demand.bound {
        Bound::Times(least, Some(peer)) => {
            let peer = others.into_iter().find(|line| line.engine == peer.to_string())?;
            let ratio = ours.figure / peer.figure;
            (format!("{ratio:.2} of {}, at least {least}", peer.engine), ratio >= *least)
        }
        Bound::Times(least, None) => {
            let best = others.max_by(|one, other| one.figure.total_cmp(&other.figure))?;
            let ratio = ours.figure / best.figure;
            (format!("{ratio:.2} of the best ({}), at least {least}", best.engine), ratio >= *least)
        }
        Bound::Share(most) => {
            let least = others.min_by(|one, other| one.figure.total_cmp(&other.figure))?;
            let ratio = ours.figure / least.figure;
            (format!("{ratio:.2} of the least ({}), at most {most}", least.engine), ratio <= *most)
        }
        Bound::Most(most) => {
            let Line { figure, unit, .. } = ours;
            (format!("{figure:.2} {unit}, at most {most}"), figure <= most)
        }
        Bound::Of(most, metric) => {
            let same = |line: &&Line| {
                (&line.workload, &line.engine, line.value_bytes, line.metric.as_str())
                    == (&ours.workload, &ours.engine, ours.value_bytes, *metric)
            };
            let ratio = ours.figure / lines.iter().find(same)?.figure;
            (format!("{ratio:.2} of the {metric}, at most {most}"), ratio <= *most)
        }
    };
    Some(Verdict { text: format!("{what}: {text}"), holds })
}

fn differences(lines: &[Line]) -> Vec<String> {
    let sums: Vec<_> = lines.iter().filter(|line| line.metric == "checksum").collect();
    let mut found = Vec::new();
    for line in &sums {
        let first = sums
            .iter()
            .find(|one| one.workload == line.workload && one.value_bytes == line.value_bytes);
        if let Some(first) = first.filter(|first| first.figure != line.figure) {
            let Line { workload, value_bytes, .. } = line;
            found.push(format!(
                "{workload} ({value_bytes} bytes): {} and {} read different bytes",
                first.engine, line.engine
            ));
        }
    }
    found
}

fn table(lines: &[Line]) -> String {
    let engines: Vec<_> = Engine::ALL
        .into_iter()
        .map(|engine| engine.to_string())
        .filter(|engine| lines.iter().any(|line| line.engine == *engine))
        .collect();
    let mut rows: Vec<(&str, usize, &str, &str)> = Vec::new();
    for line in lines.iter().filter(|line| line.metric != "checksum") {
        let row = (&*line.workload, line.value_bytes, &*line.metric, &*line.unit);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    let mut table = format!("{:<14}{:>6} {:<22}{:>10}", "workload", "bytes", "metric", "");
    for engine in &engines {
        table.push_str(&format!("{engine:>13}"));
    }
    for (workload, value_bytes, metric, unit) in rows {
        // Writing into a string cannot fail.
        let _ = write!(table, "\n{workload:<14}{value_bytes:>6} {metric:<22}{unit:>10}");
        for engine in &engines {
            let line = lines.iter().find(|line| {
                (&*line.workload, line.value_bytes, &*line.metric, &*line.engine)
                    == (workload, value_bytes, metric, engine)
            });
            let figure = line.map(|line| readable(line.figure)).unwrap_or_default();
            let _ = write!(table, "{figure:>13}");
        }
    }
    table
}

/// With as many digits as say something, and a mark between thousands.
fn readable(figure: f64) -> String {
    if figure.abs() < 100.0 {
        return format!("{figure:.2}");
    }
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Lines;

    fn figures(workload: &str, metric: &str, figures: &[(Engine, f64)]) -> Vec<Line> {
        let line = |(engine, figure): &(Engine, f64)| {
            Lines::new(workload, *engine, 256).line(metric, *figure, "")
        };
        figures.iter().map(line).collect()
    }

    fn holds(lines: &[Line]) -> Vec<bool> {
        Report::new(lines).verdicts.iter().map(|verdict| verdict.holds).collect()
    }

    #[test]
    fn ratios_are_judged_against_the_peer_that_was_named() {
        let read = [(Engine::Slab, 100.0), (Engine::Lmdb, 99.0), (Engine::Redb, 51.0)];
        assert_eq!(holds(&figures("read", "rate", &read)), [true, false]);
        let load = [(Engine::Slab, 100.0), (Engine::Lmdb, 99.0), (Engine::Fjall, 101.0)];
        assert_eq!(holds(&figures("load", "rate", &load)), [false]);
        let disk = [(Engine::Slab, 109.0), (Engine::Lmdb, 150.0), (Engine::Fjall, 100.0)];
        assert_eq!(holds(&figures("load", "disk", &disk)), [true]);
        assert_eq!(holds(&figures("count", "mean", &[(Engine::Slab, 20.1)])), [false]);
        let mut beyond = figures("beyond", "rss", &[(Engine::Slab, 116.0)]);
        beyond.extend(figures("beyond", "budget", &[(Engine::Slab, 100.0)]));
        assert_eq!(holds(&beyond), [false]);
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(holds(&figures("read", "rate", &[(Engine::Slab, 100.0)])).is_empty());
    }

    #[test]
    fn different_bytes_are_noticed() {
        let same = figures("scan", "checksum", &[(Engine::Slab, 1.0), (Engine::Redb, 1.0)]);
        assert!(Report::new(&same).differences.is_empty());
        let other = figures("scan", "checksum", &[(Engine::Slab, 1.0), (Engine::Redb, 2.0)]);
        assert_eq!(Report::new(&other).differences.len(), 1);
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(readable(1_234_567.4), "1,234,567");
        assert_eq!(readable(999.6), "1,000");
        assert_eq!(readable(1.234), "1.23");
    }
}
