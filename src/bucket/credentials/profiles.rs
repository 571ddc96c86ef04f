//! The files of profiles: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>, read with the rules of
//! Python's `configparser`, which botocore uses. `rust-ini`, which reqsign uses, takes an indented comment or setting
//! for a setting of the profile.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{anyhow, bail};

use crate::bucket::credentials::machine::MAX_LENGTH;
use crate::error::escaped;
use crate::fsx::{self, escaped_path};

pub(super) type Settings = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(super) struct Profile {
    name: String,
    /// What the configuration file says.
    pub(super) config: Settings,
    /// What the credentials file says.
    pub(super) credentials: Settings,
}

impl Profile {
    /// A setting; the credentials file wins.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let setting = self.credentials.get(name);
        setting
            .or_else(|| self.config.get(name))
            .map(String::as_str)
    }

    /// A setting that must be there.
    pub(super) fn need(&self, name: &str) -> anyhow::Result<&str> {
        let setting = self.get(name);
        setting.ok_or_else(|| self.wrong(&format!("has no `{name}`")))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn wrong(&self, what: &str) -> anyhow::Error {
        anyhow!("profile `{}` {what}", escaped(&self.name))
    }
}

/// The profiles and SSO sessions of both files.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    profiles: BTreeMap<String, Profile>,
    sessions: BTreeMap<String, Settings>,
}

impl Profiles {
    /// Files that do not exist are empty.
    pub(super) fn load() -> anyhow::Result<Self> {
        let mut all = Self::default();
        for (section, settings) in file("AWS_CONFIG_FILE", "config")? {
            let words = shlex::split(&section).unwrap_or_default();
            match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["default"] => all.profile("default").config.extend(settings),
                ["profile", name] => all.profile(name).config.extend(settings),
                ["sso-session", name] => {
                    let session = all.sessions.entry(name.to_owned());
                    session.or_default().extend(settings);
                }
                _ => {}
            }
        }
        for (name, settings) in file("AWS_SHARED_CREDENTIALS_FILE", "credentials")? {
            all.profile(&name).credentials.extend(settings);
        }
        Ok(all)
    }

    fn profile(&mut self, name: &str) -> &mut Profile {
        let profile = self.profiles.entry(name.to_owned()).or_default();
        name.clone_into(&mut profile.name);
        profile
    }

    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// A profile that something names.
    pub(super) fn existing(&self, name: &str) -> anyhow::Result<&Profile> {
        let profile = self.get(name);
        profile.ok_or_else(|| anyhow!("profile `{}` does not exist", escaped(name)))
    }

    pub(super) fn session(&self, name: &str) -> anyhow::Result<&Settings> {
        let session = self.sessions.get(name);
        session.ok_or_else(|| anyhow!("SSO session `{}` does not exist", escaped(name)))
    }
}

/// The sections of the file that a variable names, or of that in `~/.aws`.
fn file(variable: &str, name: &str) -> anyhow::Result<Vec<(String, Settings)>> {
    let named = std::env::var_os(variable).filter(|path| !path.is_empty());
    let path = named.map_or_else(|| PathBuf::from("~/.aws").join(name), PathBuf::from);
    let path = match path.strip_prefix("~") {
        Ok(rest) => match std::env::home_dir() {
            Some(home) => home.join(rest),
            None => return Ok(Vec::new()),
        },
        Err(_) => path,
    };
    // As in botocore, a device or a folder that may not be entered is no file.
    if !fsx::meta(&path).is_ok_and(|meta| meta.is_some_and(|meta| meta.is_file)) {
        return Ok(Vec::new());
    }
    let bytes = fsx::read(&path, MAX_LENGTH)?.unwrap_or_default();
    parse(&String::from_utf8_lossy(&bytes))
        .map_err(|error| error.context(format!("cannot read `{}`", escaped_path(&path))))
}

/// Sections in order. A line that is indented more than the setting above goes on with its value: settings within
/// settings, as below `s3 =`, are none of the section.
fn parse(text: &str) -> anyhow::Result<Vec<(String, Settings)>> {
    let mut sections: Vec<(String, Settings)> = Vec::new();
    let mut last: Option<(usize, String)> = None;
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let settings = sections.last_mut().map(|(_, settings)| settings);
        if let (Some((above, name)), Some(settings)) = (&last, settings)
            && indent > *above
        {
            let value = settings.entry(name.clone()).or_default();
            *value = format!("{value}\n{content}");
            continue;
        }
        if let Some((name, _)) = content
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            sections.push((name.trim().to_owned(), Settings::new()));
            last = None;
        } else if let (Some((name, value)), Some((_, settings))) =
            (content.split_once(['=', ':']), sections.last_mut())
        {
            let name = name.trim().to_ascii_lowercase();
            settings.insert(name.clone(), value.trim().to_owned());
            last = Some((indent, name));
        } else {
            bail!("line {} is not `name = value` of a section", number + 1);
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_within_settings_are_not_those_of_the_profile() {
        let text = "\u{feff}# comment\n[default] ; mine\n  # indented\n  Region = eu-west-1\r\n  s3 =\n    region = no\n\
                    \n    ; no\n    addressing_style = path\n  output: json # kept\n[ profile \"a b\" ]\nkey = a=b\n";
        let sections = parse(text).unwrap();
        assert_eq!(sections.len(), 2);
        let (name, settings) = &sections[0];
        assert_eq!(name, "default");
        assert_eq!(settings["region"], "eu-west-1");
        assert_eq!(settings["s3"], "\nregion = no\naddressing_style = path");
        assert_eq!(settings["output"], "json # kept");
        let (name, settings) = &sections[1];
        assert_eq!(name, "profile \"a b\"");
        assert_eq!(settings["key"], "a=b");
    }

    #[test]
    fn errors_do_not_quote_a_line() {
        for text in ["secret = s", "[a]\nx = 1\nsecret", "[a\nsecret = s"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with("line ") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
