//! Templates, headers, and who gets what.

use bartizan_model::xml;

use super::format::{Template, bsd, ietf, priority};
use super::plan::{Plan, check};
use crate::logs::query::Log;

fn entry(fields: &str) -> bartizan_model::tree::Element {
    xml::parse(&format!("<entry>{fields}</entry>")).unwrap()
}

#[test]
fn a_template_is_filled_with_the_fields_that_are_there() {
    let record =
        entry("<src>10.0.0.1</src><rule>a|b=c</rule><time_generated>now</time_generated><misc>two\nlines</misc>");
    for (template, escaping, line) in [
        ("$src -> $rule", ("", ""), "10.0.0.1 -> a|b=c"),
        ("$src$rule", ("#", "|="), "10.0.0.1a#|b#=c"),
        ("x $nothing y", ("", ""), "x  y"),
        ("$$src $ $-", ("", ""), "$10.0.0.1 $ $-"),
        ("$time_generated-$misc", ("", ""), "now-two lines"),
    ] {
        assert_eq!(Template::new(template, Log::Traffic, escaping).fill(&record), line, "{template}");
    }
    let cef = Template::new("CEF", Log::Traffic, ("", "")).fill(&record);
    assert!(cef.starts_with("CEF:0|Bartizan|Bartizan|") && cef.contains(r"cs1=a\|b\=c "), "{cef}");
    let leef = Template::new("LEEF", Log::Traffic, ("", "")).fill(&record);
    assert!(leef.starts_with("LEEF:2.0|") && leef.contains(r"^RuleName=a\|b=c^"), "{leef}");
    for log in [Log::Traffic, Log::Threat, Log::System, Log::IpTag, Log::Config] {
        assert!(!Template::new("", log, ("", "")).fill(&record).contains('$'), "{log:?}: every field has a name");
    }
}

#[test]
fn headers_have_facility_and_severity() {
    assert_eq!(priority(1, &entry("<severity>critical</severity>")), 10);
    assert_eq!(priority(16, &entry("")), 134);
    let (new, old) = (ietf(134, "fw", "text"), bsd(134, "fw", "text"));
    assert!(new.starts_with("<134>1 20") && new.ends_with("Z fw bartizan - - - text"), "{new}");
    assert!(
        old.starts_with("<134>") && old.ends_with(" fw text") && old.len() == "<134>Nov 26 10:00:00 fw text".len(),
        "{old}"
    );
}

const SYSLOG: &str = "<syslog><entry name=\"siem\"><server><entry name=\"one\"><server>192.0.2.1</server></entry>\
    <entry name=\"two\"><server>192.0.2.2</server><transport>SSL</transport><format>IETF</format></entry></server></entry></syslog>";

fn configuration(shared: &str, group: &str, rule: &str) -> bartizan_model::tree::Element {
    xml::parse(&format!(
        "<config><mgt-config><devices><entry name=\"S1\"/></devices></mgt-config><shared><log-settings>{SYSLOG}{shared}\
         </log-settings></shared><devices><entry name=\"localhost.localdomain\"><device-group><entry name=\"east\">\
         <devices><entry name=\"S1\"/></devices><log-settings>{group}</log-settings><pre-rulebase><security><rules>\
         <entry name=\"out\">{rule}</entry><entry name=\"quiet\"/></rules></security></pre-rulebase></entry>\
         </device-group></entry></devices></config>"
    ))
    .unwrap()
}

fn profile(filter: &str, more: &str) -> String {
    format!(
        "<profiles><entry name=\"p\"><match-list><entry name=\"m\"><log-type>traffic</log-type><filter>{filter}</filter>\
         <send-syslog><member>siem</member></send-syslog>{more}</entry></match-list></entry></profiles>"
    )
}

#[test]
fn the_nearest_profile_of_a_rule_counts() {
    let wanted = |configuration: &bartizan_model::tree::Element, name: &str| {
        let lanes = Plan::read(configuration).lanes;
        let of = |lane: &&super::plan::Lane| lane.name.contains(name);
        let record = |rule: &str| entry(&format!("<serial>S1</serial><rule>{rule}</rule>"));
        let lanes: Vec<_> = lanes.iter().filter(of).collect();
        (
            lanes.len(),
            lanes.iter().any(|lane| lane.wants(&record("out"))),
            lanes.iter().any(|lane| lane.wants(&record("quiet"))),
        )
    };
    let shared = configuration(&profile("All Logs", ""), "", "<log-setting>p</log-setting>");
    assert_eq!(wanted(&shared, "/config/shared"), (2, true, false), "two servers");
    let both = configuration(&profile("All Logs", ""), &profile("All Logs", ""), "<log-setting>p</log-setting>");
    assert_eq!(wanted(&both, "/config/shared"), (2, false, false));
    assert_eq!(wanted(&both, "device-group"), (2, true, false));
}

#[test]
fn a_commit_tells_what_is_not_forwarded() {
    let diagnostics = |configuration: &bartizan_model::tree::Element| {
        check(configuration).iter().map(|diagnostic| diagnostic.message.clone()).collect::<Vec<_>>().join("; ")
    };
    let told = diagnostics(&configuration(
        &profile("(port eq", "<send-email><member>x</member></send-email>"),
        "",
        "<log-setting>q</log-setting>",
    ));
    for part in [
        "the filter of `m`: ",
        "`send-email` of the match list entry `m` is not done",
        "names the log forwarding profile `q`, which does not exist",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = diagnostics(&configuration(&profile("", "").replace("siem", "sime"), "", ""));
    assert!(told.contains("the syslog server profile `sime` does not exist"), "{told}");
    let told = diagnostics(&configuration(&profile("", "").replace("traffic", "wildfire"), "", ""));
    assert!(told.contains("logs of the type `wildfire` are not kept here"), "{told}");
    let told = diagnostics(&configuration(&profile("", ""), "", ""));
    assert!(told.contains("no certificate authority vouches for the server `192.0.2.2`"), "{told}");
}
