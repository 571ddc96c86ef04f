//! What is left out of a source because the input is at fault.

use crate::error::{escaped, told_of};
use crate::note::{Note, NoteKind};

/// What messages call an image of a source.
#[derive(Clone, Debug)]
pub enum Called {
    /// Its references in the site. Names that the site cannot have are as in the source.
    Names(Vec<String>),
    /// An image without a name.
    Nameless(String),
}

impl Called {
    pub fn name(name: impl Into<String>) -> Self {
        Self::Names(vec![name.into()])
    }

    pub fn names(self) -> Vec<String> {
        match self {
            Self::Names(names) => names,
            Self::Nameless(_) => Vec::new(),
        }
    }
}

/// How much of an image is left out. The text says what, for messages.
#[derive(Debug)]
pub enum Part {
    Whole,
    /// A child of an index.
    Damaged(String),
    /// A child that no site can have.
    Unsupported(String),
    /// Children that the source does not have. Tools leave them out on purpose, and say so by no more than this.
    Absent(String),
}

/// An image, or part of an index, that is left out because the input is at fault.
#[derive(Debug)]
pub struct Fault {
    /// The image.
    pub called: Called,
    pub part: Part,
    pub error: anyhow::Error,
}

impl Fault {
    /// A note for each reference of the image.
    pub fn notes(&self) -> Vec<Note> {
        let note = |what: &str| {
            let (kind, begin) = match &self.part {
                Part::Whole => (NoteKind::Fault, format!("{what} is left out")),
                Part::Damaged(part) | Part::Unsupported(part) => {
                    (NoteKind::Fault, format!("{what} is served without {part}"))
                }
                Part::Absent(part) => {
                    (NoteKind::Choice, format!("{what} is served without {part}"))
                }
            };
            kind.note(format!("{begin}: {}", told_of(what, &self.error)))
        };
        match &self.called {
            Called::Nameless(what) => vec![note(what)],
            Called::Names(names) => names
                .iter()
                .map(|name| note(&format!("`{}`", escaped(name))).about(name))
                .collect(),
        }
    }
}
