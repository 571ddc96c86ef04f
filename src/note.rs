//! Notes of a run: what it left out, what it chose, and what old clients cannot pull.

use serde::Serialize;

/// Something the user should know. Notes alone do not make a run fail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// One line of text.
    pub message: String,
    pub kind: NoteKind,
    pub severity: Severity,
    /// The reference in question, as the source writes it: `repository:tag` or `repository`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Clients fail, or content is wrong.
    Error,
    /// Something was left out because a source is at fault. `--strict` makes it an error.
    Warning,
    /// For information only.
    Note,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteKind {
    /// Something in a source was left out because it is damaged, missing or unknown.
    Fault,
    /// The effect of an option or a rule: a selection, a private repository, one of two conflicting sources.
    Choice,
    /// Content of a source that no client can request: it is unnamed, unreferenced or incomplete.
    Leftover,
    /// Some clients cannot pull the image.
    Client,
}

impl NoteKind {
    /// A note without a reference.
    pub fn note(self, message: impl Into<String>) -> Note {
        Note {
            message: message.into(),
            kind: self,
            severity: match self {
                Self::Fault => Severity::Warning,
                _ => Severity::Note,
            },
            reference: None,
        }
    }
}

impl Note {
    #[must_use]
    pub fn about(self, reference: impl Into<String>) -> Self {
        let reference = Some(reference.into());
        Self { reference, ..self }
    }
}
