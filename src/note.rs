//! What a run says besides its result: what it left out, what it decided, what old clients cannot do.

use serde::Serialize;

/// One thing that the user ought to know. A run that has only notes has succeeded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// The text for people, one line.
    pub message: String,
    /// What kind of thing it is.
    pub kind: NoteKind,
    /// How bad it is.
    pub severity: Severity,
    /// The reference that it is about, as the source has it: `repository:tag` or `repository`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is wrong: clients fail, or content is not what it should be.
    Error,
    /// Something was left out that a source should have; `--strict` makes it an error.
    Warning,
    /// Good to know.
    Note,
}

/// The kinds of notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteKind {
    /// Something in a source is damaged, missing or unknown, so it was left out.
    Fault,
    /// An option or a rule decided: a selection, a private repository, one of two equals.
    Choice,
    /// A source holds what nobody can ask for: without a name, unreferenced, unfinished.
    Leftover,
    /// Some clients cannot pull it.
    Client,
}

impl NoteKind {
    /// A note of this kind about no reference in particular.
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
    /// The same note, about a reference.
    #[must_use]
    pub fn about(self, reference: impl Into<String>) -> Self {
        let reference = Some(reference.into());
        Self { reference, ..self }
    }
}
