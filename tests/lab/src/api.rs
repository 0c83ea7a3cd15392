//! The manager as an administrator's script sees it: the XML API, spoken by curl.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Namespace;

/// A logged-in administrator on a host of the lab.
#[derive(Clone, Debug)]
pub struct Api {
    host: Namespace,
    url: String,
    key: String,
    target: String,
}

impl Api {
    /// Logs in.
    ///
    /// # Errors
    /// When the manager does not answer or refuses the password.
    pub fn login(host: &Namespace, authority: &str, user: &str, password: &str) -> Result<Self> {
        let mut api = Self {
            host: host.clone(),
            url: format!("https://{authority}/api/"),
            key: String::new(),
            target: String::new(),
        };
        let answer = api.call(&[("type", "keygen"), ("user", user), ("password", password)])?;
        api.key = between(&answer, "<key>", "</key>").with_context(|| format!("no key in `{answer}`"))?.to_owned();
        Ok(api)
    }

    /// One request; the whole response, which must say `success`.
    ///
    /// # Errors
    /// When the manager answers with an error: its text.
    pub fn call(&self, parameters: &[(&str, &str)]) -> Result<String> {
        let answer = self.try_call(parameters)?;
        let head = answer.get(..answer.find('>').unwrap_or(answer.len())).unwrap_or_default();
        if !head.contains("success") {
            bail!(
                "{:?} was refused: {answer}",
                parameters.iter().filter(|(name, _)| *name != "element" && *name != "password").collect::<Vec<_>>()
            );
        }
        Ok(answer)
    }

    /// One request; the whole response, success or not.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub fn try_call(&self, parameters: &[(&str, &str)]) -> Result<String> {
        self.curl(&[], parameters)
    }

    /// One request whose answer is a file, which is written there.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub fn download(&self, parameters: &[(&str, &str)], into: &Path) -> Result<()> {
        self.curl(&["-o", &into.display().to_string()], parameters).map(drop)
    }

    fn curl(&self, options: &[&str], parameters: &[(&str, &str)]) -> Result<String> {
        let mut words: Vec<String> = ["curl", "-sSk", "--max-time", "60"].map(str::to_owned).to_vec();
        words.extend(options.iter().copied().map(str::to_owned));
        if !self.key.is_empty() {
            words.extend(["-H".to_owned(), format!("X-PAN-KEY: {}", self.key)]);
        }
        let target = (!self.target.is_empty()).then_some(("target", self.target.as_str()));
        for (name, value) in parameters.iter().copied().chain(target) {
            words.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
        }
        words.push(self.url.clone());
        self.host.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A request of the JSON API, `path` below `/api/v1`; the answer, which must be no problem.
    ///
    /// # Errors
    /// When there is none, or it is a problem.
    pub fn json(&self, method: &str, path: &str, body: Option<&serde_json::Value>) -> Result<serde_json::Value> {
        let (key, url) = (format!("X-PAN-KEY: {}", self.key), format!("{}v1{path}", self.url));
        let text = body.map(ToString::to_string).unwrap_or_default();
        let mut words = vec!["curl", "-sSk", "--max-time", "60", "-X", method, "-H", &key];
        if body.is_some() {
            words.extend(["-H", "Content-Type: application/json", "--data-binary", &text]);
        }
        words.push(&url);
        let answer = self.host.run(&words)?;
        if answer.trim().is_empty() {
            return Ok(serde_json::Value::Null);
        }
        let answer: serde_json::Value =
            serde_json::from_str(&answer).with_context(|| format!("no JSON: `{answer}`"))?;
        if answer["type"].as_str().is_some_and(|kind| kind.starts_with("urn:bartizan:problem:")) {
            bail!("{method} {path} was refused: {answer}");
        }
        Ok(answer)
    }

    /// `type=config&action=set`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn set(&self, xpath: &str, element: &str) -> Result<()> {
        self.call(&[("type", "config"), ("action", "set"), ("xpath", xpath), ("element", element)]).map(drop)
    }

    /// `type=config&action=delete`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn delete(&self, xpath: &str) -> Result<()> {
        self.call(&[("type", "config"), ("action", "delete"), ("xpath", xpath)]).map(drop)
    }

    /// `type=op`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn op(&self, command: &str) -> Result<String> {
        self.call(&[("type", "op"), ("cmd", command)])
    }

    /// The same administrator at a managed firewall: every call has its serial number as `target`.
    pub fn at(&self, serial: &str) -> Self {
        Self { target: serial.to_owned(), ..self.clone() }
    }

    /// Commits and waits for the job.
    ///
    /// # Errors
    /// When the commit is refused: the job's details, one diagnostic a line.
    pub fn commit(&self) -> Result<Job> {
        self.job(&[("type", "commit"), ("cmd", "<commit></commit>")])
    }

    /// Pushes a device group with its templates and waits for the job.
    ///
    /// # Errors
    /// When a device does not enforce it: the job's details.
    pub fn push(&self, device_group: &str) -> Result<Job> {
        let command = format!(
            "<commit-all><shared-policy><device-group><entry name=\"{device_group}\"/></device-group>\
             <include-template>yes</include-template></shared-policy></commit-all>"
        );
        self.job(&[("type", "commit"), ("action", "all"), ("cmd", &command)])
    }

    fn job(&self, parameters: &[(&str, &str)]) -> Result<Job> {
        let start = Instant::now();
        let answer = self.call(parameters)?;
        let id = between(&answer, "<job>", "</job>").with_context(|| format!("no job in `{answer}`"))?.to_owned();
        let command = format!("<show><jobs><id>{id}</id></jobs></show>");
        loop {
            let answer = self.op(&command)?;
            if between(&answer, "<status>", "</status>") == Some("FIN") {
                let job = Job { id, answer, elapsed: start.elapsed() };
                if between(&job.answer, "<result>OK", "<").is_none() && !job.answer.contains("<result>OK</result>") {
                    bail!("job {} failed: {}", job.id, job.answer);
                }
                return Ok(job);
            }
            if start.elapsed() > Duration::from_secs(60) {
                bail!("job {id} did not end within a minute: {answer}");
            }
        }
    }

    /// Traffic log records that match a filter of the log API, newest first, as `<entry>` texts.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn traffic_log(&self, query: &str) -> Result<Vec<String>> {
        self.log("traffic", query)
    }

    /// The same of any log.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn log(&self, kind: &str, query: &str) -> Result<Vec<String>> {
        let answer = self.call(&[("type", "log"), ("log-type", kind), ("nlogs", "100"), ("query", query)])?;
        let id = between(&answer, "<job>", "</job>").with_context(|| format!("no job in `{answer}`"))?.to_owned();
        for _ in 0..200 {
            let answer = self.call(&[("type", "log"), ("action", "get"), ("job-id", &id)])?;
            if between(&answer, "<status>", "</status>") == Some("FIN") {
                return Ok(entries(&answer));
            }
        }
        bail!("log job {id} did not end")
    }
}

/// A finished job.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its number.
    pub id: String,
    /// The last `show jobs id` response.
    pub answer: String,
    /// From the request to the first poll that saw it finished.
    pub elapsed: Duration,
}

/// The text between two marks, the first time they occur.
pub fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let start = text.find(open)? + open.len();
    let length = text.get(start..)?.find(close)?;
    text.get(start..start + length)
}

/// Text of an element below an `<entry>`.
pub fn field<'a>(entry: &'a str, name: &str) -> &'a str {
    between(entry, &format!("<{name}>"), &format!("</{name}>")).unwrap_or_default()
}

fn entries(answer: &str) -> Vec<String> {
    answer.split("<entry logid").skip(1).filter_map(|rest| rest.split("</entry>").next()).map(str::to_owned).collect()
}
