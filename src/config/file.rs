//! The form of the config file, RethinkDB's: a line each, `name=value` or `name`, comments after `#`.

/// The lines that say something: number, name, value.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str, Option<&str>)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
        if line.is_empty() {
            return None;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (line, None),
        };
        Some((index + 1, name, value.filter(|value| !value.is_empty())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_file() {
        let text = "# head\n\n  bind = all # everyone\nno-http-admin\nserver-name=\na=b=c";
        let lines: Vec<_> = lines(text).collect();
        assert_eq!(
            lines,
            [
                (3, "bind", Some("all")),
                (4, "no-http-admin", None),
                (5, "server-name", None),
                (6, "a", Some("b=c")),
            ]
        );
    }
}
