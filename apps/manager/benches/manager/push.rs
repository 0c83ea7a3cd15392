//! A push to many devices at once, from the request until all of them enforce it and the job is finished.
//!
//! The devices are agents that speak the real protocol over a TLS connection each, in this process, without a data
//! plane: what a firewall does with its configuration is its own time.

use std::time::{Duration, Instant};

use bartizan_api::fleet::manager_message::Body as ToDevice;

use crate::client::Client;
use crate::commit::{LOCALHOST, network, rules};
use crate::common::device::{Device, auth_key, enrol};
use crate::common::{Server, between};
use crate::percentiles;

pub(crate) async fn run(devices: usize, rounds: usize, floor_ms: f64) {
    let server = Server::start_with(|settings| settings.push_timeout = Duration::from_secs(120)).await;
    let mut client = Client::connect(&server).await;
    let key = auth_key(&server).await;
    let mut serials = Vec::new();
    let begun = Instant::now();
    for _ in 0..devices {
        let (identity, enrolled) = enrol(&server, &key, "").await.unwrap();
        let device = Device::attach(&server, identity, &enrolled.serial, "").await.unwrap();
        serials.push(enrolled.serial);
        tokio::spawn(serve(device));
    }
    network(&mut client, &serials).await;
    rules(&mut client, 500, 1000).await;
    client.commit().await;
    crate::progress("devices enrolled", begun.elapsed());
    let mut times = Vec::new();
    for round in 0..=rounds {
        let rule =
            format!("{LOCALHOST}/device-group/entry[@name='dg']/pre-rulebase/security/rules/entry[@name='r{round}']");
        client.set(&rule, "<description>changed</description>").await;
        client.commit().await;
        let begun = Instant::now();
        let command = "<commit-all><shared-policy><device-group><entry name='dg'/></device-group>\
                       <include-template>yes</include-template></shared-policy></commit-all>";
        let body = client.ask(&[("type", "commit"), ("action", "all"), ("cmd", command)]).await;
        let job = client.finished(between(&body, "<job>", "</job>"), Duration::from_millis(20)).await;
        let took = begun.elapsed();
        crate::progress("a push", took);
        assert_eq!(job.matches("<result>OK</result>").count(), devices + 1, "{}", &job[..2000.min(job.len())]);
        // The first is of everything.
        if round > 0 {
            times.push(took);
        }
    }
    percentiles(&format!("push-to-{devices}-devices"), times, floor_ms, floor_ms / 2.0);
}

async fn serve(mut device: Device) {
    loop {
        match device.receive().await {
            Some(Ok(ToDevice::Push(push))) => device.answer(&push, 0).await,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}
