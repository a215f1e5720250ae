//! The older text format of Prometheus (0.0.4), made from OpenMetrics text.

/// Media type of OpenMetrics.
pub const OPENMETRICS: &str = "application/openmetrics-text";
/// Media type of the older format.
pub const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Samples are the same in both. Families are not: the older format names a counter with its suffix, knows no infos, units or end.
pub fn plain(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let lines: Vec<&str> = openmetrics.lines().collect();
    for line in &lines {
        if let Some(line) = translate(line, &lines) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

fn translate(line: &str, all: &[&str]) -> Option<String> {
    let mut words = line.splitn(4, ' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("#"), Some("EOF" | "UNIT"), ..) => None,
        (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
            let kind_then = match kind {
                "info" | "stateset" => "gauge",
                "unknown" => "untyped",
                same => same,
            };
            Some(format!("# TYPE {name}{} {kind_then}", suffix(kind)))
        }
        (Some("#"), Some("HELP"), Some(name), Some(help)) => {
            let kind = all.iter().find_map(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
            Some(format!("# HELP {name}{} {help}", suffix(kind.unwrap_or_default())))
        }
        _ => Some(line.to_owned()),
    }
}

/// What samples of this kind have after the family's name.
fn suffix(kind: &str) -> &'static str {
    match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_the_older_format_wants() {
        let openmetrics = "\
# HELP fires Workflows started.
# TYPE fires counter
fires_total{result=\"a b\"} 5
# HELP build Version.
# TYPE build info
build_info{version=\"1\"} 1
# HELP lag_seconds Lag.
# TYPE lag_seconds histogram
# UNIT lag_seconds seconds
lag_seconds_sum 0.5
# HELP ready Ready.
# TYPE ready gauge
ready 1
# EOF
";
        let expected = "\
# HELP fires_total Workflows started.
# TYPE fires_total counter
fires_total{result=\"a b\"} 5
# HELP build_info Version.
# TYPE build_info gauge
build_info{version=\"1\"} 1
# HELP lag_seconds Lag.
# TYPE lag_seconds histogram
lag_seconds_sum 0.5
# HELP ready Ready.
# TYPE ready gauge
ready 1
";
        assert_eq!(plain(openmetrics), expected);
    }
}
