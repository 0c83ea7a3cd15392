//! A commit after one rule of fifty thousand changed, from the request until the job is finished.

use std::fmt::Write as _;
use std::time::Instant;

use crate::client::Client;
use crate::common::Server;
use crate::percentiles;

pub(crate) const LOCALHOST: &str = "/config/devices/entry[@name='localhost.localdomain']";
const RULES: usize = 50_000;
const ADDRESSES: usize = 100_000;
/// Objects or rules in one request.
const AT_ONCE: usize = 10_000;
const COMMITS: usize = 200;

pub(crate) async fn run() {
    let server = Server::start().await;
    let mut client = Client::connect(&server).await;
    network(&mut client, &["BZT000000000001".to_owned()]).await;
    rules(&mut client, RULES, ADDRESSES).await;
    let begun = Instant::now();
    client.commit().await;
    crate::progress("the first commit", begun.elapsed());
    let mut times = Vec::new();
    for number in 0..COMMITS {
        let at = (number * 7919) % RULES;
        let rule =
            format!("{LOCALHOST}/device-group/entry[@name='dg']/pre-rulebase/security/rules/entry[@name='r{at}']");
        let source = (number * 104_729 + 5) % ADDRESSES;
        let element = format!("<source><member>a{source}</member></source>");
        let parameters =
            [("type", "config"), ("action", "edit"), ("xpath", &*format!("{rule}/source")), ("element", &*element)];
        let begun = Instant::now();
        let body = client.ask(&parameters).await;
        assert!(body.contains("command succeeded"), "{body}");
        if number < 3 {
            crate::progress("an edit", begun.elapsed());
        }
        let begun = Instant::now();
        client.commit().await;
        times.push(begun.elapsed());
        if number < 3 {
            crate::progress("a commit", begun.elapsed());
        }
    }
    percentiles("commit-1-of-50000-rules", times, 100.0, 50.0);
}

/// A template of two zones, a stack and a device group with these devices.
pub(crate) async fn network(client: &mut Client, serials: &[String]) {
    let interface = |number: u8, address: &str| {
        format!("<entry name='ethernet1/{number}'><layer3><ip><entry name='{address}'/></ip></layer3></entry>")
    };
    let zone = |name: &str, number: u8| {
        format!("<entry name='{name}'><network><layer3><member>ethernet1/{number}</member></layer3></network></entry>")
    };
    let template = format!(
        "<entry name='net'><config><devices><entry name='localhost.localdomain'><network><interface><ethernet>{}{}</ethernet></interface>\
         <virtual-router><entry name='default'><interface><member>ethernet1/1</member><member>ethernet1/2</member></interface></entry></virtual-router>\
         </network><vsys><entry name='vsys1'><import><network><interface><member>ethernet1/1</member><member>ethernet1/2</member></interface></network></import>\
         <zone>{}{}</zone></entry></vsys></entry></devices></config></entry>",
        interface(1, "10.0.0.1/24"),
        interface(2, "203.0.113.2/24"),
        zone("trust", 1),
        zone("untrust", 2),
    );
    client.set(&format!("{LOCALHOST}/template"), &template).await;
    let devices = serials.iter().fold(String::new(), |text, serial| text + &format!("<entry name='{serial}'/>"));
    let stack =
        format!("<entry name='stack'><templates><member>net</member></templates><devices>{devices}</devices></entry>");
    client.set(&format!("{LOCALHOST}/template-stack"), &stack).await;
    let group = format!("<entry name='dg'><devices>{devices}</devices></entry>");
    client.set(&format!("{LOCALHOST}/device-group"), &group).await;
}

/// Addresses in Shared, and rules of the device group that name them.
pub(crate) async fn rules(client: &mut Client, rules: usize, addresses: usize) {
    let numbers = |count: usize| (0..count).step_by(AT_ONCE).map(move |from| from..(from + AT_ONCE).min(count));
    for numbers in numbers(addresses) {
        let mut objects = String::new();
        for number in numbers {
            let [_, high, middle, low] = (number as u32).to_be_bytes();
            write!(objects, "<entry name='a{number}'><ip-netmask>10.{high}.{middle}.{low}</ip-netmask></entry>")
                .unwrap();
        }
        client.set("/config/shared/address", &objects).await;
    }
    for port in 0..200 {
        let service =
            format!("<entry name='tcp-{port}'><protocol><tcp><port>{}</port></tcp></protocol></entry>", 1000 + port);
        client.set("/config/shared/service", &service).await;
    }
    for numbers in numbers(rules) {
        let mut entries = String::new();
        for number in numbers {
            write!(
                entries,
                "<entry name='r{number}'><from><member>trust</member></from><to><member>untrust</member></to>\
                 <source><member>a{}</member></source><destination><member>a{}</member></destination>\
                 <application><member>any</member></application><service><member>tcp-{}</member></service>\
                 <action>allow</action><log-end>yes</log-end></entry>",
                (number * 3) % addresses,
                (number * 7 + 1) % addresses,
                number % 200,
            )
            .unwrap();
        }
        client.set(&format!("{LOCALHOST}/device-group/entry[@name='dg']/pre-rulebase/security/rules"), &entries).await;
    }
}
