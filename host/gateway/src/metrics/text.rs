//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};

/// The format's media type.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The labels of a sample: names and values.
pub(crate) type Labels<'a> = [(&'a str, &'a str)];

/// Families of samples, written one after the other.
#[derive(Default)]
pub(crate) struct Text {
    out: String,
}

impl Text {
    /// Begins a family of counters, which only decrease when their source restarts; its name ends with `_total`.
    pub(crate) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// Begins a family of numbers that rise and fall.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Begins a family of distributions.
    pub(crate) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { out: &mut self.out, name }
    }

    /// The whole text.
    pub(crate) fn finish(self) -> String {
        self.out
    }
}

/// One family; all its samples are written before the next one begins.
pub(crate) struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// Writes a sample.
    pub(crate) fn sample(&mut self, labels: &Labels<'_>, value: impl Display) {
        self.sample_of("", labels, value);
    }

    /// Writes a sample of a part of a histogram, such as `_sum`.
    pub(crate) fn sample_of(&mut self, suffix: &str, labels: &Labels<'_>, value: impl Display) {
        let _ = write!(self.out, "{}{suffix}", self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let _ = write!(self.out, "{}{name}=\"", if at == 0 { '{' } else { ',' });
            escape(value, self.out);
            self.out.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{end} {value}");
    }
}

fn escape(value: &str, out: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_with_help_and_type() {
        let mut text = Text::default();
        text.gauge("weir_depth", "What is \\ there,\nand how much.").sample(&[], 3);
        let mut counter = text.counter("weir_sent_total", "Sent.");
        counter.sample(&[("flow", "a"), ("host", "")], 7_u64);
        counter.sample(&[("flow", "b")], 0.25);
        let lines = [
            r"# HELP weir_depth What is \\ there,\nand how much.",
            "# TYPE weir_depth gauge",
            "weir_depth 3",
            "# HELP weir_sent_total Sent.",
            "# TYPE weir_sent_total counter",
            r#"weir_sent_total{flow="a",host=""} 7"#,
            r#"weir_sent_total{flow="b"} 0.25"#,
        ];
        assert_eq!(text.finish(), lines.join("\n") + "\n");
    }

    #[test]
    fn values_of_labels_are_escaped() {
        let mut text = Text::default();
        text.gauge("a", "").sample(&[("b", "\\ \" \n {},= é")], 1);
        assert!(text.finish().ends_with("a{b=\"\\\\ \\\" \\n {},= é\"} 1\n"));
    }
}
