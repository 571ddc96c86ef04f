//! The commands that a client gives to a site through SSH.
//!
//! The Docker Registry specification of 2014 reaches a registry on another host through SSH, by the commands
//! `registryget` and `registryput`. Here they are the other names of `get` and `put`:
//! ```text
//! command = word *(blank word)                    at most 4,096 characters and 64 words
//! blank   = SPACE | TAB
//! word    = [A-Za-z0-9._:/@=] [A-Za-z0-9._:/@=-]*
//!
//! get REF...    put [NAME[:TAG] | PREFIX/]    list    index    export    export-since
//! ```
//! The client is not trusted. There is no quoting, and nothing is ever given to a shell. No word is an option or a
//! path, so a client cannot leave the site that its key is for.

use crate::error::escaped;
use crate::spec::name::Reference;
use crate::spec::new_name::NewName;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The images with these references.
    Get(Vec<String>),
    /// To add the images on standard input, under this name if there is one.
    Put(Option<NewName>),
    /// The list of what the site serves.
    List,
    /// The catalogue.
    Index,
    /// All that the site has, or what the site lacks whose catalogue is on standard input.
    Export { is_since: bool },
}

/// The maximum length of a command, in characters.
const MAX_LENGTH: usize = 4096;
const MAX_WORDS: usize = 64;
/// The length at which messages cut a command, in characters.
const MAX_SHOWN: usize = 60;

impl Request {
    /// Parses a command.
    ///
    /// # Errors
    /// If it is anything but one of these requests. The message is one line.
    pub fn parse(command: &str) -> anyhow::Result<Self> {
        parse(command).map_err(|reason| refused(command, reason))
    }
}

/// The error for a command: one line, whatever the command holds.
pub fn refused(command: &str, reason: &str) -> anyhow::Error {
    let start: String = command.chars().take(MAX_SHOWN).collect();
    let more = if start.len() < command.len() {
        "…"
    } else {
        ""
    };
    anyhow::anyhow!(
        "the command `{}{more}` is refused: {reason}",
        escaped(start)
    )
}

/// Parses a command. An error is why it is refused.
fn parse(command: &str) -> Result<Request, &'static str> {
    if command.chars().nth(MAX_LENGTH).is_some() {
        return Err("it has more than 4,096 characters");
    }
    let words: Vec<&str> = command.split([' ', '\t']).collect();
    if words.len() > MAX_WORDS {
        return Err("it has more than 64 words");
    }
    if command.trim().is_empty() {
        return Err(REQUESTS);
    }
    // A client may want a shell, or `scp`: then its options do not matter.
    let first = words[0];
    if check_word(first).is_ok() && !is_request(first) {
        return Err(REQUESTS);
    }
    words.iter().try_for_each(|word| check_word(word))?;
    match words.as_slice() {
        ["get" | "registryget"] => Err("`get` needs a reference"),
        ["get" | "registryget", references @ ..] => {
            if !references.iter().all(|text| is_reference(text)) {
                return Err("a reference is `NAME[:TAG]` or `NAME@DIGEST`");
            }
            Ok(Request::Get(
                references.iter().map(ToString::to_string).collect(),
            ))
        }
        ["put" | "registryput"] => Ok(Request::Put(None)),
        ["put" | "registryput", name] => name
            .parse()
            .map(|name| Request::Put(Some(name)))
            .map_err(|_| "a name is `NAME[:TAG]`, or `PREFIX/`"),
        ["put" | "registryput", ..] => Err("`put` takes one name at most"),
        ["list"] => Ok(Request::List),
        ["index"] => Ok(Request::Index),
        ["export"] => Ok(Request::Export { is_since: false }),
        ["export-since"] => Ok(Request::Export { is_since: true }),
        ["list" | "index" | "export" | "export-since", ..] => {
            Err("`list`, `index`, `export` and `export-since` take no other word")
        }
        _ => Err(REQUESTS),
    }
}

const REQUESTS: &str = "it is none of `get`, `put`, `list`, `index`, `export` and `export-since`";

fn is_request(word: &str) -> bool {
    let names = ["get", "put", "list", "index", "export", "export-since"];
    names.contains(&word.strip_prefix("registry").unwrap_or(word))
}

fn check_word(word: &str) -> Result<(), &'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._:/@=-".contains(c);
    if word.is_empty() {
        // Two blanks in a row, or one at an end: what a client's shell makes of an empty variable in quotes. Without
        // its name, `put` would add images under the names in the archive.
        return Err("it has an empty word");
    }
    if !word.chars().all(is_allowed) {
        return Err("it has a character other than letters, digits and `._:/@=-`");
    }
    if word.starts_with('-') {
        return Err("it has an option");
    }
    Ok(())
}

fn is_reference(text: &str) -> bool {
    text.parse::<Reference>().is_ok()
}
