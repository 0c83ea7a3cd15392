//! A diagnostic as a snippet for the terminal: file, line, the source line, a mark below it, the advice.

use std::fmt::Write;

use bartizan_model::diagnostic::{Diagnostic, Severity};
use bartizan_model::tree::Span;
use bartizan_model::xml::line_column;

/// Longest part of a source line that is shown.
const LINE_CHARS_MAX: usize = 160;

/// All diagnostics against the text of one file, in its order, with a count at the end.
pub fn render(diagnostics: &[Diagnostic], file: &str, text: &str) -> String {
    let mut sorted: Vec<_> = diagnostics.iter().collect();
    sorted.sort_by_key(|one| (one.origin.span.map(|span| span.start), one.severity, one.code, &one.message));
    let mut out = String::new();
    for diagnostic in &sorted {
        one(&mut out, diagnostic, file, text);
        out.push('\n');
    }
    let count = |severity| sorted.iter().filter(|one| one.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings > 0 {
        let _ = writeln!(out, "{file}: {}, {}", plural(errors, "error"), plural(warnings, "warning"));
    }
    out
}

fn one(out: &mut String, diagnostic: &Diagnostic, file: &str, text: &str) {
    let word = match diagnostic.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let _ = writeln!(out, "{word}[{}]: {}", diagnostic.code, diagnostic.message);
    let mut margin = 1;
    match diagnostic.origin.span {
        Some(span) if span.start <= text.len() => {
            let (line, column) = line_column(text, span.start);
            margin = line.to_string().len();
            let _ = writeln!(out, "{:margin$}--> {file}:{line}:{column}", "");
            source_line(out, text, span, (line, column), margin);
        }
        _ => {
            let _ = writeln!(out, " --> {file}");
        }
    }
    if !diagnostic.origin.xpath.is_empty() {
        let _ = writeln!(out, "{:margin$} = at: {}", "", diagnostic.origin.xpath);
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "{:margin$} = help: {help}", "");
    }
}

fn source_line(out: &mut String, text: &str, span: Span, (line, column): (usize, usize), margin: usize) {
    let Some(source) = text.lines().nth(line - 1) else { return };
    let shown: String = source.chars().take(LINE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let width = shown.chars().count();
    if column > width + 1 {
        return;
    }
    let marked =
        text.get(span.start..span.end).map_or(1, |part| part.lines().next().map_or(1, |first| first.chars().count()));
    let marks = marked.clamp(1, (width + 1 - column).max(1));
    let _ = writeln!(out, "{:margin$} |", "");
    let _ = writeln!(out, "{line} | {shown}");
    let _ = writeln!(out, "{:margin$} | {:>2$}{3}", "", "", column - 1, "^".repeat(marks));
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use bartizan_model::diagnostic::Origin;

    use super::*;

    const TEXT: &str = "<config>\n  <from><member>dmzz</member></from>\n</config>\n";

    fn diagnostic(span: Option<Span>) -> Diagnostic {
        let origin = Origin { xpath: "/config/from".into(), span, owner: None };
        Diagnostic::error("unknown-zone", origin, "rule `web-out` names zone `dmzz`, which does not exist")
            .with_help("did you mean `dmz`?")
    }

    #[test]
    fn the_line_is_shown_and_marked() {
        let start = TEXT.find("<member>").unwrap();
        let end = TEXT.find("</from>").unwrap();
        let shown = render(&[diagnostic(Some(Span { start, end }))], "edge.xml", TEXT);
        assert_eq!(
            shown,
            "error[unknown-zone]: rule `web-out` names zone `dmzz`, which does not exist\n \
             --> edge.xml:2:9\n  \
             |\n\
             2 |   <from><member>dmzz</member></from>\n  \
             |         ^^^^^^^^^^^^^^^^^^^^^\n  \
             = at: /config/from\n  \
             = help: did you mean `dmz`?\n\n\
             edge.xml: 1 error, 0 warnings\n"
        );
    }

    #[test]
    fn a_diagnostic_without_a_place_names_the_file() {
        let shown = render(&[diagnostic(None)], "edge.xml", TEXT);
        assert!(shown.contains("\n --> edge.xml\n  = at: /config/from\n"), "{shown}");
    }

    #[test]
    fn any_span_is_survived() {
        let text = "<a>äöü\u{7}</a>";
        for start in 0..40 {
            for end in 0..40 {
                render(&[diagnostic(Some(Span { start, end }))], "x", text);
            }
        }
        render(&[diagnostic(Some(Span { start: 0, end: 3 }))], "x", "");
        render(&[diagnostic(Some(Span { start: 500, end: 503 }))], "x", &"y".repeat(1000));
    }
}
