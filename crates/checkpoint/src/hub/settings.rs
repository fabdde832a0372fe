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
        let token = if token.is_some() { "set" } else { "none" };
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

    /// As `variable` says; without a progress bar.
    ///
    /// Source: huggingface_hub's constants.py. The token file stands in `HF_HOME` whatever `HF_HUB_CACHE` says.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> HubSettings {
        let set = |name: &str| variable(name).map(|value| value.trim().to_string()).filter(|value| !value.is_empty());
        let folder = |name: &str| set(name).map(PathBuf::from);
        // A machine without a home folder gets a cache in the working folder, as a relative HF_HOME would.
        let dot_cache = || std::env::home_dir().unwrap_or_default().join(".cache");
        let home =
            folder("HF_HOME").unwrap_or_else(|| folder("XDG_CACHE_HOME").unwrap_or_else(dot_cache).join("huggingface"));
        let token_file = || std::fs::read_to_string(home.join("token")).ok().map(|text| text.trim().to_string());
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(token_file);
        let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str());
        let seconds = |name: &str| set(name)?.parse().ok().filter(|seconds| *seconds > 0);
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        HubSettings {
            cache: folder("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            offline: set("HF_HUB_OFFLINE").is_some_and(yes),
            endpoint: endpoint.trim_end_matches('/').into(),
            token: token.filter(|token| !token.is_empty()),
            progress: false,
            patience: Patience::new(seconds("HF_HUB_ETAG_TIMEOUT"), seconds("HF_HUB_DOWNLOAD_TIMEOUT")),
        }
    }
}

#[cfg(test)]
mod tests {
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
