//! Formats what `verify URL` found for people.

use std::fmt::Write as _;

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::check_url::ServerProblem;
use crate::error::escaped;
use crate::note::Severity;
use crate::server_config::SERVERS;
use crate::text::count;

/// The width of lines, in characters.
const WIDTH: usize = 80;
const INDENT: &str = "    ";

/// One paragraph for each finding: where, what and why, who is affected.
pub(super) fn findings(findings: &[ServerProblem]) -> String {
    let mut text = String::new();
    for finding in findings {
        let (severity, verb) = match finding.severity {
            Severity::Error | Severity::Warning => ("error", "breaks"),
            Severity::Note => ("note", "affects"),
        };
        let _ = write!(text, "{severity}: {}", escaped(&finding.path));
        if finding.count > 1 {
            let _ = write!(text, " and {} more", finding.count - 1);
        }
        text.push('\n');
        paragraph(&mut text, &finding.message);
        if !finding.breaks.is_empty() {
            paragraph(&mut text, &format!("{verb} {}", finding.breaks.join(", ")));
        }
    }
    text
}

/// Appends words in indented lines. What is longer than a line, such as an address, stays whole.
fn paragraph(text: &mut String, words: &str) {
    let options = Options::new(WIDTH)
        .initial_indent(INDENT)
        .subsequent_indent(INDENT)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    for line in textwrap::wrap(words, options) {
        text.push_str(&line);
        text.push('\n');
    }
}

/// How many findings there are of each severity, and a hint if a configuration mends some of the errors.
pub(super) fn summary(findings: &[ServerProblem]) -> Vec<String> {
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    let notes = (findings.len() - errors.clone().count()) as u64;
    let mut lines = vec![match (errors.clone().count() as u64, notes) {
        (0, 0) => "no problems found".to_owned(),
        (0, _) => format!("no problems found, {}", count(notes, "note")),
        (errors, _) => format!(
            "{} and {} found",
            count(errors, "problem"),
            count(notes, "note")
        ),
    }];
    if errors.clone().any(|error| error.is_of_configuration) {
        // Those without options copy a site, or list its headers.
        let servers = SERVERS.iter().filter(|server| !server.options.is_empty());
        let servers: Vec<_> = servers.map(|server| server.name).collect();
        lines.push(format!(
            "hint: `stillage config SERVER SITE` writes a configuration without these problems; SERVER is one of {}",
            servers.join(", ")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(severity: Severity, count: u64, is_of_configuration: bool) -> ServerProblem {
        ServerProblem {
            path: "/v2/tiny/manifests/1".into(),
            kind: "manifest-type",
            message: "the Content-Type is `application/octet-stream`, not \
                      `application/vnd.docker.distribution.manifest.v2+json`: these clients identify a manifest by its \
                      Content-Type alone"
                .into(),
            breaks: vec!["docker 28/29", "containerd"],
            count,
            severity,
            is_of_configuration,
        }
    }

    #[test]
    fn findings_are_paragraphs() {
        let both = [
            problem(Severity::Error, 20, true),
            problem(Severity::Note, 1, true),
        ];
        let body = "    the Content-Type is `application/octet-stream`, not
    `application/vnd.docker.distribution.manifest.v2+json`: these clients
    identify a manifest by its Content-Type alone
";
        let expected = format!(
            "error: /v2/tiny/manifests/1 and 19 more
{body}    breaks docker 28/29, containerd
note: /v2/tiny/manifests/1
{body}    affects docker 28/29, containerd
"
        );
        assert_eq!(findings(&both), expected);
    }

    #[test]
    fn long_words_stay_whole() {
        let word = "x".repeat(100);
        let problem = ServerProblem {
            message: format!("it is {word} here"),
            breaks: Vec::new(),
            ..problem(Severity::Note, 1, true)
        };
        let expected = format!("note: /v2/tiny/manifests/1\n    it is\n    {word}\n    here\n");
        assert_eq!(findings(&[problem]), expected);
    }

    #[test]
    fn only_errors_of_the_configuration_have_a_hint() {
        let lines = |severity, is_of_configuration| {
            summary(&[problem(severity, 1, is_of_configuration)]).len()
        };
        assert_eq!(lines(Severity::Error, true), 2);
        assert_eq!(lines(Severity::Error, false), 1);
        assert_eq!(lines(Severity::Note, true), 1);
        let hint = &summary(&[problem(Severity::Error, 1, true)])[1];
        assert!(hint.contains("nginx, caddy, "), "{hint}");
        assert_eq!(summary(&[]), ["no problems found"]);
    }
}
