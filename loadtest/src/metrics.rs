//! Reads Prometheus text: sums of samples by metric name and labels.

use anyhow::{Context, Result};

/// One page of metrics.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Metrics {
    /// Lines that are no samples are skipped: help, types, and exemplars' tails.
    pub fn parse(text: &str) -> Self {
        Self { samples: text.lines().filter_map(sample).collect() }
    }

    /// The sum over all samples of this name that have all these labels; an error if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let meets = |s: &&Sample| s.name == name && wanted.iter().all(|label| s.labels.contains(label.as_str()));
        let mut found = self.samples.iter().filter(meets).peekable();
        found.peek().with_context(|| format!("the engine has no metric {name}{{{}}}", wanted.join(",")))?;
        Ok(found.map(|s| s.value).sum())
    }

    /// A counter, as a whole number; 0 as long as there is none.
    pub fn count(&self, name: &str) -> u64 {
        self.sum(name, &[]).map_or(0, |value| value as u64)
    }
}

fn sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (head, rest) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, value) = rest.split_once('}')?;
            ((name, labels), value)
        }
        None => {
            let (name, value) = line.split_once(' ')?;
            ((name, ""), value)
        }
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: head.0.to_owned(), labels: head.1.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP fires help\n# TYPE fires counter\nfires_total{result=\"fired\",ns=\"a\"} 3\n\
                        fires_total{result=\"fired\",ns=\"b\"} 4.0\nfires_total{result=\"skipped\",ns=\"a\"} 5\nup 1 1700000000\n# EOF\n";

    #[test]
    fn samples_are_summed_by_name_and_label() {
        let metrics = Metrics::parse(PAGE);
        assert_eq!(metrics.sum("fires_total", &[]).expect("there"), 12.0);
        assert_eq!(metrics.sum("fires_total", &[("result", "fired")]).expect("there"), 7.0);
        assert_eq!(metrics.sum("fires_total", &[("result", "fired"), ("ns", "a")]).expect("there"), 3.0);
        assert_eq!(metrics.count("up"), 1);
        assert!(metrics.sum("nothing", &[]).is_err());
    }
}
