//! The variables of a stack as a table, out and in again.

use serde_json::json;

use crate::common::{Answer, Server};
use crate::fleet::LOCALHOST;

async fn import(server: &Server, table: &str) -> Answer {
    let file = "Content-Disposition: form-data; name=\"file\"; filename=\"v.csv\"\r\nContent-Type: text/csv";
    let body = format!("--b\r\n{file}\r\n\r\n{table}\r\n--b--\r\n");
    let headers = [("x-pan-key", server.key.as_str()), ("content-type", "multipart/form-data; boundary=b")];
    let path = "/api/?type=import&category=variables&template-stack=stack";
    server.request("POST", path, &headers, body.into_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_variables_goes_out_is_changed_and_comes_in() {
    let server = Server::start().await;
    let gateway = "<entry name='$gateway'><type><ip-netmask>None</ip-netmask></type></entry>";
    server.set(&format!("{LOCALHOST}/template/entry[@name='edge']/variable"), gateway).await;
    let stack = "<templates><member>edge</member></templates><devices><entry name='1'/><entry name='2'/></devices>";
    server.set(&format!("{LOCALHOST}/template-stack/entry[@name='stack']"), stack).await;
    let export = [("type", "export"), ("category", "variables"), ("template-stack", "stack")];
    let answer = server.api(&export).await;
    assert!(answer.disposition.contains("filename=stack-variables.csv"), "{answer:?}");
    assert_eq!(answer.body, "serial,hostname,$gateway:ip-netmask\n1,,#inherited#\n2,,#inherited#\n");

    let table = answer.body.replace("2,,#inherited#", "2,,192.0.2.254");
    let answer = import(&server, &table).await;
    assert!(answer.body.contains("1 values of stack changed."), "{}", answer.body);
    assert!(import(&server, &table).await.body.contains("have these values already"));
    assert_eq!(server.told("/api/v1/template-stacks/stack/variables").await["csv"], table);
    let wrong = import(&server, &table.replace("192.0.2.254", "nowhere").replace("\n1,", "\n3,")).await;
    assert!(wrong.body.contains("line 2: `3` is no device of the stack `stack`"), "{}", wrong.body);
    assert!(wrong.body.contains("line 3, $gateway: `nowhere` does not fit the type `ip-netmask`"), "{}", wrong.body);
    let body = json!({ "csv": "serial,$gateway\n2,#inherited#\n" });
    let told = server.json("PUT", "/api/v1/template-stacks/stack/variables", Some(body)).await;
    assert_eq!((told.status, &told.body["changed"]), (200, &json!(1)), "{}", told.body);
    let missing = server.json("GET", "/api/v1/template-stacks/stak/variables", None).await;
    assert_eq!(missing.status, 404, "{}", missing.body);
    assert!(missing.body.to_string().contains("did you mean `stack`?"), "{}", missing.body);
}
