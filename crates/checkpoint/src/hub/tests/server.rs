//! A real HTTP server on this machine, in place of a hub and of the hosts that it sends people to: each on a port of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::{Digest, Sha1};

use crate::hash::{hex, sha256_hex};

pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a server was asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Request> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let first = lines.next()?;
        let mut words = first.split(' ').map(str::to_string);
        let (method, path) = (words.next()?, words.next()?);
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_string()))
        });
        Some(Request { method, path, headers: headers.collect() })
    }

    pub fn is_get(&self) -> bool {
        self.method == "GET"
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Where the part that is asked for begins.
    pub fn start(&self) -> Option<usize> {
        Some(self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().unwrap())
    }
}

/// What a server says.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    says_length: bool,
    manner: Manner,
}

#[derive(Clone, Copy, Debug)]
enum Manner {
    Whole,
    CutAfter(usize),
    StallAfter(usize),
    Drip(Duration),
}

impl Answer {
    pub fn new(status: u16) -> Answer {
        Answer { status, headers: BTreeMap::new(), body: Vec::new(), says_length: true, manner: Manner::Whole }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Answer {
        self.headers.insert(name.into(), value.to_string());
        self
    }

    pub fn status(self, status: u16) -> Answer {
        Answer { status, ..self }
    }

    pub fn body(mut self, body: &[u8]) -> Answer {
        self.body = body.into();
        self
    }

    pub fn redirect(to: impl ToString) -> Answer {
        Answer::new(302).with("location", to)
    }

    /// Ends with the connection, and says nothing of its length before.
    pub fn without_length(self) -> Answer {
        Answer { says_length: false, ..self }
    }

    /// Hangs up after `bytes` of the body.
    pub fn cut_after(self, bytes: usize) -> Answer {
        Answer { manner: Manner::CutAfter(bytes), ..self }
    }

    /// Says no more after `bytes` of the body, and does not hang up.
    pub fn stall_after(self, bytes: usize) -> Answer {
        Answer { manner: Manner::StallAfter(bytes), ..self }
    }

    /// Sends a byte now and then.
    pub fn drip(self, pause: Duration) -> Answer {
        Answer { manner: Manner::Drip(pause), ..self }
    }

    fn write(&self, request: &Request, stream: &mut TcpStream) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} So\r\nconnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if self.says_length && !self.headers.contains_key("content-length") {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if !request.is_get() {
            return Ok(());
        }
        match self.manner {
            Manner::Whole => stream.write_all(&self.body),
            Manner::CutAfter(bytes) => stream.write_all(&self.body[..bytes]),
            Manner::StallAfter(bytes) => {
                stream.write_all(&self.body[..bytes])?;
                stream.flush()?;
                // Until the other side has had enough.
                io::copy(&mut &*stream, &mut io::sink()).map(|_| ())
            }
            Manner::Drip(pause) => self.body.chunks(1).try_for_each(|byte| {
                std::thread::sleep(pause);
                stream.write_all(byte)
            }),
        }
    }
}

/// Lasts as long as the test's process.
pub(super) struct Server {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers as `answer` says, to several people at once. The second argument is what was asked before, this question included.
    pub fn new(answer: impl Fn(&Request, &Mutex<Vec<Request>>) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || {
                    let Some(request) = Request::read(&stream) else { return };
                    log.lock().unwrap().push(request.clone());
                    // Whoever has heard enough hangs up.
                    let _ = answer(&request, &log).write(&request, &mut stream);
                });
            }
        });
        Server { address, seen }
    }

    /// A hub that has `files`.
    pub fn hub(files: Files) -> Server {
        Server::new(move |request, _| files.answer(request))
    }

    /// What it was asked so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }
}

/// How many of `requests` ask for the file itself.
pub(super) fn gets(requests: &[Request]) -> usize {
    requests.iter().filter(|request| request.is_get()).count()
}

/// The files of a model at [`COMMIT`].
#[derive(Clone, Debug, Default)]
pub(super) struct Files(pub BTreeMap<String, Vec<u8>>);

impl Files {
    pub fn of(folder: &Path) -> Files {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        Files(entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect())
    }

    pub fn one(name: &str, body: &[u8]) -> Files {
        Files([(name.to_string(), body.to_vec())].into())
    }

    fn named(&self, request: &Request) -> Option<(&str, &[u8])> {
        let name = request.path.rsplit('/').next()?;
        self.0.get_key_value(name).map(|(name, body)| (name.as_str(), body.as_slice()))
    }

    /// As huggingface.co answers for a small file, and a mirror for any.
    pub fn answer(&self, request: &Request) -> Answer {
        let Some((name, body)) = self.named(request) else { return Answer::new(404) };
        let answer = match request.start() {
            Some(start) if start >= body.len() => return Answer::new(416),
            Some(start) => Answer::new(206)
                .with("content-range", format!("bytes {start}-{}/{}", body.len() - 1, body.len()))
                .body(&body[start..]),
            None => Answer::new(200).body(body),
        };
        answer.with("x-repo-commit", COMMIT).with("etag", etag(name, body))
    }

    /// As huggingface.co answers for a large file, which is at `to`.
    pub fn linked(&self, request: &Request, to: &str) -> Answer {
        let Some((name, body)) = self.named(request) else { return Answer::new(404) };
        Answer::redirect(format!("{to}{}", request.path))
            .with("x-repo-commit", COMMIT)
            .with("x-linked-etag", etag(name, body))
            .with("x-linked-size", body.len())
            .with("etag", "\"of-the-redirect\"")
    }
}

/// SHA-256 of what is in large file storage, git's SHA-1 of the rest.
pub(super) fn etag(name: &str, body: &[u8]) -> String {
    if name.ends_with(".safetensors") {
        return format!("\"{}\"", sha256_hex(body));
    }
    let hash = Sha1::new_with_prefix(format!("blob {}\0", body.len())).chain_update(body).finalize();
    format!("\"{}\"", hex(&hash))
}
