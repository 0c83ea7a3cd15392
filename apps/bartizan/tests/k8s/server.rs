//! An API server that answers by a script: real HTTP, real JSON, pages, reviews of rights and refusals.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What is answered.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    objects: BTreeMap<String, Value>,
    refusals: BTreeMap<String, (u16, String)>,
    forbidden: Vec<String>,
    page: Option<usize>,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: String,
}

/// A server that runs until the test ends.
pub(crate) struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Answers {
    /// What is at a path.
    pub(crate) fn set(&mut self, path: &str, object: Value) {
        self.objects.insert(path.to_owned(), object);
    }

    /// A list at a path.
    pub(crate) fn list(&mut self, path: &str, items: &[Value]) {
        self.set(path, json!({ "kind": "List", "metadata": {}, "items": items }));
    }

    /// A path that is refused: lists and what would be made there.
    pub(crate) fn refuse(&mut self, path: &str, code: u16, message: &str) {
        self.refusals.insert(path.to_owned(), (code, message.to_owned()));
    }

    /// A resource that nobody may make.
    pub(crate) fn forbid(&mut self, resource: &str) {
        self.forbidden.push(resource.to_owned());
    }

    /// Lists come in pages of so many, whatever is asked for.
    pub(crate) fn in_pages_of(mut self, size: usize) -> Self {
        self.page = Some(size);
        self
    }

    fn answer(&self, method: &str, target: &str, body: &[u8]) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path.ends_with("/selfsubjectaccessreviews") {
            let review: Value = serde_json::from_slice(body).unwrap();
            let resource = review["spec"]["resourceAttributes"]["resource"].as_str().unwrap();
            return (201, json!({ "status": { "allowed": !self.forbidden.iter().any(|one| one == resource) } }));
        }
        let making = method == "POST";
        // A list that may be read may be refused to be written, as the platform does with its own namespace.
        if let Some((code, message)) = self.refusals.get(path).filter(|_| making || !path.ends_with("/configmaps")) {
            return (*code, status(*code, message));
        }
        if making {
            return (201, serde_json::from_slice(body).unwrap());
        }
        match self.objects.get(path) {
            Some(object) => (200, self.page_of(object, query)),
            None => (404, status(404, "the server could not find the requested resource")),
        }
    }

    fn page_of(&self, object: &Value, query: &str) -> Value {
        let (Some(items), Some(size)) = (object["items"].as_array(), self.page) else { return object.clone() };
        let from: usize =
            query.split('&').find_map(|part| part.strip_prefix("continue=")).map_or(0, |at| at.parse().unwrap());
        let to = (from + size).min(items.len());
        let next = if to < items.len() { to.to_string() } else { String::new() };
        json!({ "kind": "List", "metadata": { "continue": next }, "items": items[from..to] })
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "x", "code": code })
}

impl Server {
    /// Starts it on a free port.
    pub(crate) fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answers, notes) = (answers.clone(), Arc::clone(&notes));
                std::thread::spawn(move || serve(stream.unwrap(), &answers, &notes));
            }
        });
        Self { url, asked }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Requests of one connection, one after the other.
fn serve(stream: TcpStream, answers: &Answers, notes: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let (mut length, mut authorization) = (0, String::new());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            match &*name.to_ascii_lowercase() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => authorization = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        notes.lock().unwrap().push(Asked { method: method.clone(), path: path.clone(), authorization });
        let (code, answer) = answers.answer(&method, &path, &body);
        let text = answer.to_string();
        let head =
            format!("HTTP/1.1 {code} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(text.as_bytes())).is_err() {
            return;
        }
    }
}
