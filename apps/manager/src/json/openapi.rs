//! The OpenAPI 3.1 document: made from the routes and the types of their handlers.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::route::{Access, Described, Route};

/// Where the schemas of the document stand.
const SCHEMAS: &str = "/components/schemas";

/// The document that describes these routes.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        })
        .into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let operation = operation(route, &problem, &mut generator);
        let path = paths.entry(format!("{}{}", super::PREFIX, route.path)).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bartizan manager",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Configuration, commits, pushes, devices and logs of many firewalls. See docs/api.md.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "X-PAN-KEY" },
                "token": { "type": "http", "scheme": "bearer" },
                "password": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

fn operation(route: &Route, problem: &Schema, generator: &mut SchemaGenerator) -> Value {
    let mut parameters = path_parameters(route.path);
    parameters.extend(query_parameters((route.query)(generator).to_value()));
    let Described { status, content_type, schema } = (route.answer)(generator);
    let mut answer = json!({ "description": status.canonical_reason().unwrap_or_default() });
    if let (Some(kind), Some(schema)) = (content_type, schema) {
        answer["content"] = json!({ kind: { "schema": schema } });
    }
    let refusal = json!({
        "description": "Refused",
        "content": { "application/problem+json": { "schema": problem } },
    });
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "tags": [route.path.trim_start_matches('/').split('/').next().unwrap_or_default()],
        "parameters": parameters,
        "responses": { status.as_str(): answer, "default": refusal },
    });
    let body = (route.body)(generator);
    if route.takes_body() && body.as_value()["$ref"] != json!(format!("#{SCHEMAS}/Nothing")) {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": body } } });
    }
    operation["security"] = match route.access {
        Access::Open => json!([]),
        _ => json!([{ "key": [] }, { "token": [] }, { "password": [] }]),
    };
    operation
}

/// `GET /jobs/{id}` is `getJobsById`.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.as_str().to_ascii_lowercase();
    for part in route.path.split(['/', '-', '.']).filter(|part| !part.is_empty()) {
        let (before, name) = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => ("By", name),
            None => ("", part),
        };
        let mut letters = name.chars();
        id.push_str(before);
        id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    id
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    names.map(parameter).collect()
}

/// The members of the type that the handler reads the query into.
fn query_parameters(schema: Value) -> Vec<Value> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let members = schema["properties"].as_object().into_iter().flatten();
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let required = required.contains(&name.as_str());
        json!({ "name": name, "in": "query", "required": required, "description": description, "schema": schema })
    };
    members.map(parameter).collect()
}

#[cfg(test)]
mod tests {
    /// `UPDATE_EXPECT=1 cargo test -p bartizan-manager openapi` writes the file, which the page's types are made from.
    #[test]
    fn the_page_is_built_for_this_document() {
        let document = serde_json::to_string_pretty(&*super::super::DOCUMENT).unwrap_or_default() + "\n";
        expect_test::expect_file!["../../../../web/openapi.json"].assert_eq(&document);
    }
}
