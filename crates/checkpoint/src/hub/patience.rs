//! How long the hub is waited for.

use std::time::Duration;

/// How long the hub is waited for, and how often it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// For a connection, and then for the first lines of an answer: `HF_HUB_ETAG_TIMEOUT`.
    pub answer: Duration,
    /// For the next bytes of a file: `HF_HUB_DOWNLOAD_TIMEOUT`.
    pub read: Duration,
    /// For a file, or as much of it as one connection brings. Bounds what drips so finely that nothing is seen of it (a byte
    /// now and then below TLS); what takes longer is gone on with.
    pub whole: Duration,
    /// A file that brings fewer bytes than this in such a time is as good as none.
    pub slowest: (u64, Duration),
    /// How often the same thing is asked, if nothing comes of it.
    pub tries: u32,
    /// Before it is asked for the second time; twice as long each time after that.
    pub pause: Duration,
    /// The longest time that a busy hub may ask for: huggingface.co counts requests for five minutes.
    pub longest_pause: Duration,
}

impl Patience {
    /// With time-outs of `answer` and `read` seconds; without them, of as many as huggingface_hub has.
    pub fn new(answer: Option<u64>, read: Option<u64>) -> Patience {
        let seconds = |given: Option<u64>| Duration::from_secs(given.unwrap_or(10));
        Patience {
            answer: seconds(answer),
            read: seconds(read),
            whole: Duration::from_secs(6 * 3600),
            // Slower than any modem: 5 GB would take two months.
            slowest: (60 * 1024, Duration::from_secs(60)),
            tries: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(300),
        }
    }

    /// How long to wait before the hub is asked again, after `failed` tries of which the last one came to nothing.
    pub fn pause_after(&self, failed: u32) -> Duration {
        let doubled = self.pause.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
        doubled.min(self.longest_pause)
    }
}
