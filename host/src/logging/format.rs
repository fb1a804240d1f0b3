//! The fields of a log line for people: message, then `name=value`, with every value escaped.
//!
//! Values are escaped here and not at the call sites, so that no caller can forget it. Time, level
//! and target of a line are written by the subscriber, with its colours.

use std::fmt::{self, Write as _};

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::base::printable::Escaping;

/// Writes fields escaped.
pub(super) struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Fields {
            writer,
            is_empty: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Fields<'w> {
    writer: Writer<'w>,
    is_empty: bool,
    result: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.is_empty) {
            self.writer.write_char(' ')?;
        }
        let is_coloured = self.writer.has_ansi_escapes();
        match name {
            "message" => {}
            name if is_coloured => {
                write!(self.writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?
            }
            name => write!(self.writer, "{name}=")?,
        }
        Escaping(&mut self.writer).write_fmt(value)
    }
}

impl tracing::field::Visit for Fields<'_> {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        if self.result.is_ok() {
            let name = field.name();
            let name = name.strip_prefix("r#").unwrap_or(name);
            self.result = self.write(name, format_args!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut kept = self.0.lock();
            kept.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(is_coloured: bool) -> String {
        let kept = Kept::default();
        let out = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || out.clone())
            .without_time()
            .fmt_fields(EscapedFields)
            .with_ansi(is_coloured);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("turn", key = %"k\n2026 ERROR forged", topic = tracing::field::Empty);
            span.record("topic", "t\u{1b}c");
            let _span = span.entered();
            tracing::warn!(detail = %"no\u{1b}[2J\u{202e}", text = "a\u{9b}b", number = 3, "said {}", "x\r\u{7}");
        });
        let kept = kept.0.lock();
        String::from_utf8_lossy(&kept).into_owned()
    }

    #[test]
    fn no_value_of_an_event_or_a_span_begins_a_line_or_steers_a_terminal() {
        assert_eq!(
            logged(false),
            " WARN turn{key=k\\n2026 ERROR forged topic=\"t\\u{1b}c\"}: saga_host::logging::format::tests: \
             said x\\r\\u{7} detail=no\\u{1b}[2J\\u{202e} text=\"a\\u{9b}b\" number=3\n"
        );
    }

    #[test]
    fn colours_are_the_only_escapes_of_a_coloured_line() {
        let line = logged(true);
        assert!(
            line.contains("\u{1b}[3mdetail\u{1b}[0m\u{1b}[2m=\u{1b}[0mno\\u{1b}[2J"),
            "{line}"
        );
        let is_of_colour = |part: &str| {
            let digits = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            part.starts_with('[') || digits.starts_with('m')
        };
        assert!(line.split('\u{1b}').skip(1).all(is_of_colour), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}
