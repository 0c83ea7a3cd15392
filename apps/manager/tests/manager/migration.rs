//! Does a configuration from elsewhere come over whole, and is it told what of it is enforced?

use crate::common::Server;

const OWN: &str = "/config/devices/entry[@name='localhost.localdomain']";

async fn import(server: &Server, name: &str, text: &str) {
    let head = format!("--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
    let headers = [("x-pan-key", &*server.key), ("content-type", "multipart/form-data; boundary=X")];
    let body = format!("{head}{text}\r\n--X--\r\n").into_bytes();
    let answer = server.request("POST", "/api/?type=import&category=configuration", &headers, body).await.body;
    assert!(answer.contains("saved."), "{answer}");
}

async fn report(server: &Server, from: &str) -> String {
    server.op(&format!("<show><config-report><from>{from}</from></config-report></show>")).await
}

fn firewall() -> String {
    let any = ["source", "destination", "application", "service"]
        .map(|list| format!("<{list}><member>any</member></{list}>"));
    let interface = |number: u8, address: &str| {
        format!(
            "<entry name='ethernet1/{number}'><layer3><ip><entry name='{address}'/></ip><lldp><enable>yes</enable></lldp></layer3></entry>"
        )
    };
    let zone = |name: &str, number: u8| {
        format!("<entry name='{name}'><network><layer3><member>ethernet1/{number}</member></layer3></network></entry>")
    };
    let members = "<member>ethernet1/1</member><member>ethernet1/2</member>";
    format!(
        "<?xml version='1.0'?><config version='11.1.0'><mgt-config><users><entry name='admin'><phash>x</phash></entry></users></mgt-config>\
         <shared><address><entry name='dns'><ip-netmask>192.0.2.53</ip-netmask></entry></address></shared>\
         <devices><entry name='localhost.localdomain'><network><interface><ethernet>{}{}</ethernet></interface>\
         <virtual-router><entry name='default'><interface>{members}</interface></entry></virtual-router></network>\
         <vsys><entry name='vsys1'><import><network><interface>{members}</interface></network></import><zone>{}{}</zone>\
         <address><entry name='web'><ip-netmask>203.0.113.80</ip-netmask></entry></address>\
         <rulebase><security><rules><entry name='out'><from><member>trust</member></from><to><member>untrust</member></to>{}\
         <action>allow</action></entry></rules></security></rulebase></entry></vsys></entry></devices></config>",
        interface(1, "10.0.0.1/24"),
        interface(2, "203.0.113.2/24"),
        zone("trust", 1),
        zone("untrust", 2),
        any.concat(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firewall_comes_over_as_a_template_and_a_group() {
    let server = Server::start().await;
    import(&server, "branch.xml", &firewall()).await;
    let told = report(&server, "branch.xml").await;
    for part in [
        "<kind>firewall</kind>",
        "<can-be-committed>yes</can-be-committed>",
        "<entry name=\"address\"><count>2</count></entry>",
        "<entry name=\"security rules\"><count>1</count></entry>",
        "`lldp` is stored but not enforced (here and in 1 more place)",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let command = |group: &str| {
        format!(
            "<request><import-firewall><from>branch.xml</from><template>branch</template><device-group>{group}</device-group></import-firewall></request>"
        )
    };
    let done = server.op(&command("branch")).await;
    assert!(done.contains("became template branch and device group branch"), "{done}");
    assert!(server.op(&command("other")).await.contains("template `branch` is there already"));
    assert!(server.op(&command("")).await.contains("are needed"));

    let serial = "BZT000000000001";
    let stack = format!("<templates><member>branch</member></templates><devices><entry name='{serial}'/></devices>");
    server.set(&format!("{OWN}/template-stack/entry[@name='branches']"), &stack).await;
    server.set("/config/mgt-config/devices", &format!("<entry name='{serial}'/>")).await;
    server
        .set(&format!("{OWN}/device-group/entry[@name='branch']/devices"), &format!("<entry name='{serial}'/>"))
        .await;
    let job = server.commit().await;
    assert!(job.contains("<result>OK</result>") && job.contains("`lldp` is stored but not enforced"), "{job}");
    let rules = server.get(&format!("{OWN}/device-group/entry[@name='branch']")).await;
    assert!(rules.contains("<pre-rulebase><security><rules><entry name=\"out\""), "{rules}");
    assert!(rules.contains("192.0.2.53") && rules.contains("203.0.113.80"), "{rules}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managers_configuration_is_reported_and_loaded_as_it_is() {
    let server = Server::start().await;
    let whole = server.body(&[("type", "export"), ("category", "configuration")]).await;
    let group = "<device-group><entry name=\"dg\"><address><entry name=\"a\"><ip-netmask>1.2.3</ip-netmask></entry></address>\
        </entry></device-group>";
    let collector = "<panorama><log-collector-group><entry name=\"c\"/></log-collector-group></panorama>";
    let changed = whole.replacen("</deviceconfig>", &format!("</deviceconfig>{group}"), 1);
    let changed = changed.replacen("</config>", &format!("{collector}</config>"), 1);
    import(&server, "panorama.xml", &changed).await;
    let told = report(&server, "panorama.xml").await;
    for part in [
        "<kind>manager</kind>",
        "<can-be-committed>no</can-be-committed>",
        "[@name='a']",
        "`log-collector-group` is stored but does nothing at the manager",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let command = "<request><import-firewall><from>panorama.xml</from><template>t</template><device-group>g</device-group></import-firewall></request>";
    assert!(server.op(command).await.contains("no configuration of a firewall"));
    server.op("<load><config><from>panorama.xml</from></config></load>").await;
    let candidate = server.op("<show><config-report/></show>").await;
    assert!(candidate.contains("<from>candidate</from>") && candidate.contains("log-collector-group"), "{candidate}");
    assert!(report(&server, "panorma.xml").await.contains("did you mean `panorama.xml`?"));
}
