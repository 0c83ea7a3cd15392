//! The JSON API as a client sees it, every answer held to the OpenAPI document.

use serde_json::{Value, json};

use super::Server;

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Server {
    /// A request with the server's key.
    pub(crate) async fn json(&self, method: &str, path: &str, body: Option<Value>) -> Told {
        self.json_as(&self.key, method, path, body).await
    }

    /// The body of an answer that is no refusal.
    pub(crate) async fn told(&self, path: &str) -> Value {
        let told = self.json("GET", path, None).await;
        assert_eq!(told.status, 200, "{path}: {}", told.body);
        told.body
    }

    /// A request with somebody's key; what comes back is what the document says.
    pub(crate) async fn json_as(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Told {
        let headers = [("x-pan-key", key), ("content-type", "application/json")];
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let answer = self.request(method, path, &headers, bytes).await;
        let told = Told {
            status: answer.status,
            body: if answer.body.is_empty() { Value::Null } else { serde_json::from_str(&answer.body).unwrap() },
        };
        let document = self.document().await;
        check(&document, method, path, &answer.content_type, &told);
        told
    }

    pub(crate) async fn document(&self) -> Value {
        let answer = self.request("GET", "/api/v1/openapi.json", &[], Vec::new()).await;
        assert_eq!(answer.content_type, "application/json");
        serde_json::from_str(&answer.body).unwrap()
    }
}

/// Holds an answer to the document.
fn check(document: &Value, method: &str, path: &str, content_type: &str, told: &Told) {
    let path = path.split('?').next().unwrap();
    let is_meant = |template: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        template.len() == path.len()
            && template.iter().zip(&path).all(|(one, other)| one.starts_with('{') || one == other)
    };
    let paths = document["paths"].as_object().unwrap();
    // The most literal one is meant, as by the router.
    let template =
        paths.keys().filter(|template| is_meant(template)).min_by_key(|template| template.matches('{').count());
    let template = template.unwrap_or_else(|| panic!("{path} is not in the document"));
    let operation = &paths[template][method.to_ascii_lowercase()];
    assert!(operation.is_object(), "{method} {path} is not in the document");
    let responses = operation["responses"].as_object().unwrap();
    let response = responses.get(&told.status.to_string()).unwrap_or(&responses["default"]);
    let Some(content) = response.get("content") else {
        assert_eq!(told.body, Value::Null, "{method} {path}");
        return;
    };
    let schema = content.get(content_type).unwrap_or_else(|| panic!("{method} {path}: {content_type} {}", told.body));
    let mut schema = schema["schema"].clone();
    if schema.is_boolean() {
        return;
    }
    schema["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> =
        validator.iter_errors(&told.body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{method} {path} {}: {wrong:#?}\n{}", told.status, told.body);
}

/// An edit of a request.
pub(crate) fn set(xpath: &str, element: &str) -> Value {
    json!({ "action": "set", "xpath": xpath, "element": element })
}
