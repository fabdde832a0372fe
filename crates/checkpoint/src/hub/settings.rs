//! The environment variables that Hugging Face's own tools obey, read in this one place.

use std::path::PathBuf;

use super::patience::Patience;

/// How to reach the hub and where its cache is.
#[derive(Clone)]
pub(crate) struct HubSettings {
    /// The folder of `models--org--name` folders.
    pub cache: PathBuf,
    /// Whether the network is forbidden.
    pub offline: bool,
    /// The hub's address, without a slash at the end.
    pub endpoint: String,
    /// Who asks.
    pub token: Option<String>,
    /// Whether downloads draw a bar.
    pub progress: bool,
    /// How long it is waited for.
    pub patience: Patience,
}

/// By hand, so that no message can show the token.
impl std::fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let HubSettings { cache, offline, endpoint, token, progress, patience } = self;
        let (token, endpoint) = (if token.is_some() { "set" } else { "none" }, without_password(endpoint));
        write!(f, "HubSettings {{ {cache:?}, {offline}, {endpoint}, token: {token}, {progress}, {patience:?} }}")
    }
}

impl HubSettings {
    /// As this process's environment says.
    pub fn from_env() -> HubSettings {
        let mut settings = HubSettings::from_variables(|name| std::env::var(name).ok());
        settings.progress = std::io::IsTerminal::is_terminal(&std::io::stderr());
        settings
    }

    /// The endpoint as messages say it: without a password.
    pub fn shown_endpoint(&self) -> String {
        without_password(&self.endpoint)
    }

    /// As `variable` says; without a progress bar.
    ///
    /// Source: huggingface_hub's constants.py. The token file stands in `HF_HOME` whatever `HF_HUB_CACHE` says.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> HubSettings {
        let set = |name: &str| variable(name).map(|value| value.trim().to_string()).filter(|value| !value.is_empty());
        // A machine without a home folder gets a cache in the working folder, as a relative HF_HOME would.
        let own_home = || std::env::home_dir().unwrap_or_default();
        // A shell has replaced it already; what sets variables without one has not.
        let folder = |name: &str| {
            set(name).map(|path| match path.strip_prefix("~/") {
                Some(rest) => own_home().join(rest),
                None => PathBuf::from(path),
            })
        };
        let dot_cache = || own_home().join(".cache");
        let home =
            folder("HF_HOME").unwrap_or_else(|| folder("XDG_CACHE_HOME").unwrap_or_else(dot_cache).join("huggingface"));
        let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str());
        let token_path = folder("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token_file = || std::fs::read_to_string(token_path).ok().map(|text| text.trim().to_string());
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(token_file);
        // Who sets this wants to be asked before a token is used, and Loupe's configs have no key for it.
        let token = token.filter(|token| !token.is_empty() && !set("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(yes));
        let seconds = |name: &str| set(name)?.parse().ok().filter(|seconds| *seconds > 0);
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        HubSettings {
            cache: folder("HF_HUB_CACHE")
                .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| home.join("hub")),
            offline: set("HF_HUB_OFFLINE").or_else(|| set("TRANSFORMERS_OFFLINE")).is_some_and(yes),
            endpoint: endpoint.trim_end_matches('/').into(),
            token,
            progress: false,
            patience: Patience::new(seconds("HF_HUB_ETAG_TIMEOUT"), seconds("HF_HUB_DOWNLOAD_TIMEOUT")),
        }
    }
}

/// `address` without the user and the password that may stand before its host.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_string() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn with(variables: &[(&str, &str)]) -> HubSettings {
        HubSettings::from_variables(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn the_most_particular_variable_wins() {
        assert!(with(&[]).cache.ends_with(".cache/huggingface/hub"));
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x")]).cache, PathBuf::from("/x/huggingface/hub"));
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")]).cache, PathBuf::from("/h/hub"));
        assert_eq!(with(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")]).cache, PathBuf::from("/c"));
        let both = [("HF_HOME", "/nowhere"), ("HUGGING_FACE_HUB_TOKEN", "old"), ("HF_TOKEN", " new\n")];
        assert_eq!(with(&both).token.as_deref(), Some("new"));
        assert_eq!(with(&[("HF_HOME", "/nowhere"), ("HF_TOKEN", "")]).token, None);
        assert_eq!(with(&[("HF_ENDPOINT", "http://a/")]).endpoint, "http://a");
        assert!(!format!("{:?}", with(&both)).contains("new"));
        assert_eq!(with(&[("HF_TOKEN", "a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token, None);
        let home = std::env::home_dir().unwrap();
        assert_eq!(with(&[("HF_HUB_CACHE", "~/x")]).cache, home.join("x"));
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("t"), "own\n").unwrap();
        assert_eq!(
            with(&[("HF_TOKEN_PATH", scratch.path().join("t").to_str().unwrap())]).token.as_deref(),
            Some("own")
        );
        let endpoint = with(&[("HF_ENDPOINT", "https://me:secret@a.example/hub/")]);
        assert_eq!(endpoint.shown_endpoint(), "https://a.example/hub");
        assert!(!format!("{endpoint:?}").contains("secret"));
    }

    #[test]
    fn offline_takes_the_words_that_huggingface_takes() {
        for word in ["1", "true", "YES", "on"] {
            assert!(with(&[("HF_HUB_OFFLINE", word)]).offline, "{word}");
        }
        assert!(!with(&[("HF_HUB_OFFLINE", "0")]).offline);
        assert!(!with(&[]).offline);
    }

    #[test]
    fn time_outs_are_those_of_huggingface_unless_said() {
        let waits = |variables: &[(&str, &str)]| {
            let patience = with(variables).patience;
            [patience.answer, patience.read].map(|time| time.as_secs())
        };
        assert_eq!(waits(&[]), [10, 10]);
        assert_eq!(waits(&[("HF_HUB_ETAG_TIMEOUT", "3"), ("HF_HUB_DOWNLOAD_TIMEOUT", "60")]), [3, 60]);
        assert_eq!(waits(&[("HF_HUB_ETAG_TIMEOUT", "0"), ("HF_HUB_DOWNLOAD_TIMEOUT", "long")]), [10, 10]);
    }
}
