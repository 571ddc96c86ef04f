//! The topics that `stillage help` explains. Each is a file of Markdown that is printed as it is, becomes a page of the
//! manual, and is read where the repository is browsed.

mod man_page;

/// A subject that is larger than one command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Topic {
    /// What `stillage help` takes.
    pub name: &'static str,
    /// What it takes instead.
    also: &'static [&'static str],
    /// Markdown, in lines of at most 100 characters.
    pub text: &'static str,
}

macro_rules! topics {
    ($($name:literal: $also:expr),* $(,)?) => {
        /// All topics, in the order in which they are listed.
        pub(crate) const TOPICS: &[Topic] = &[$(Topic {
            name: $name,
            also: &$also,
            text: include_str!(concat!($name, ".md")),
        }),*];
    };
}

topics![
    "sources": ["names"],
    "building": [],
    "editing": ["retention"],
    "limits": ["exit-codes", "output"],
    "layout": ["site"],
    "json": [],
    "servers": ["nginx", "apache", "caddy", "lighttpd", "tls", "rsync"],
    "logins": ["login", "auth", "private"],
    "bucket": ["s3", "aws", "r2", "gcs", "minio"],
    "ci": ["github", "gitlab"],
    "edges": ["cloudfront", "cloudflare", "fastly"],
    "static-hosts": ["netlify", "github-pages"],
    "verify-url": ["cdn"],
    "client-files": ["docker", "podman", "containerd", "k3s", "ca"],
    "docker-1": ["v1"],
    "tested": ["matrix"],
    "mirror": ["offline", "airgap", "volumes"],
    "ssh": [],
    "taking-out": [],
    "signatures": ["cosign", "gpg", "lookaside"],
    "artifacts": ["helm", "ollama", "wasm"],
    "pages": [],
    "changes": ["versions", "format"],
];

impl Topic {
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        let mut topics = TOPICS.iter();
        topics.find(|topic| topic.name == name || topic.also.contains(&name))
    }

    /// The first line, without its mark.
    pub(crate) fn title(&self) -> &'static str {
        let line = self.text.lines().next().unwrap_or_default();
        line.trim_start_matches("# ")
    }

    /// The page of the manual, in section 7.
    pub(crate) fn man_page(&self) -> String {
        man_page::page(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_fit_a_terminal() {
        for topic in TOPICS {
            assert!(topic.text.starts_with("# "), "{}", topic.name);
            for line in topic.text.lines() {
                let length = line.chars().count();
                assert!(length <= 100, "{}: {length}: {line}", topic.name);
            }
        }
    }

    #[test]
    fn topics_name_topics_that_exist() {
        for topic in TOPICS {
            for named in topic.text.split("`stillage help ").skip(1) {
                let name = named.split('`').next().unwrap();
                let is_known = name == "TOPIC" || Topic::find(name).is_some();
                assert!(is_known, "{} names `{name}`", topic.name);
            }
        }
    }
}
