//! What do the compiled rules say of a flow?

use bartizan_model::device::{self, Scope};
use bartizan_model::xml;
use bartizan_playbook::Plan;
use bartizan_playbook::cluster::Snapshot;
use bartizan_policy::compile::compile;
use bartizan_policy::decide::decide;
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::{Compiled, Decision, Flow, Ids};

use crate::generate::Asked;

/// A device that the rules were pushed to, with its tags.
pub(crate) struct Enforced {
    tables: Compiled,
    /// Its configuration.
    pub(crate) text: String,
}

impl Enforced {
    pub(crate) fn of(plan: &Plan, snapshot: &Snapshot) -> Self {
        let objects = plan.render();
        let list = |elements: Vec<String>| elements.concat();
        let written = |map: &std::collections::BTreeMap<String, bartizan_model::tree::Element>| {
            list(map.values().map(xml::write).collect())
        };
        let rules = list(objects.rules.iter().map(|(_, rule)| xml::write(rule)).collect());
        let text = format!(
            "<config><devices><entry name='localhost.localdomain'><network><interface><ethernet><entry name='ethernet1/1'>\
             <layer3><ip><entry name='192.0.2.1/24'/></ip><ipv6><enabled>yes</enabled><address>\
             <entry name='2001:db8::1/64'/></address></ipv6></layer3></entry></ethernet></interface><virtual-router>\
             <entry name='vr'><interface><member>ethernet1/1</member></interface><routing-table><ip><static-route>\
             <entry name='d'><destination>0.0.0.0/0</destination><interface>ethernet1/1</interface><nexthop><ip-address>192.0.2.2\
             </ip-address></nexthop></entry></static-route></ip><ipv6><static-route><entry name='d'><destination>::/0\
             </destination><interface>ethernet1/1</interface><nexthop><ipv6-address>2001:db8::2</ipv6-address></nexthop></entry>\
             </static-route></ipv6></routing-table></entry></virtual-router></network><vsys><entry name='vsys1'>\
             <zone><entry name='pods'><network><layer3><member>ethernet1/1</member></layer3></network></entry></zone>\
             <tag>{}</tag><address-group>{}</address-group><service>{}</service>\
             <rulebase><security><rules>{rules}</rules></security></rulebase></entry></vsys></entry></devices></config>",
            written(&objects.tags),
            written(&objects.groups),
            written(&objects.services),
        );
        let tree = xml::parse(&text).unwrap();
        let report = device::read(&tree, Scope::Device);
        let config = report.config.unwrap_or_else(|| panic!("{:?}\n{text}", report.diagnostics));
        let facts = Facts { gathered: true, tags: plan.members(snapshot), ..Facts::default() };
        let tables = compile(&config, &facts, &mut Ids::default(), 1).unwrap_or_else(|bad| panic!("{bad:?}\n{text}"));
        Self { tables, text }
    }

    pub(crate) fn allows(&self, asked: &Asked) -> bool {
        let flow = Flow {
            ingress: self.tables.interface_id("ethernet1/1").unwrap(),
            source: asked.source,
            destination: asked.destination,
            protocol: asked.protocol,
            source_port: if asked.port == 0 { 0 } else { 40_000 },
            destination_port: asked.port,
        };
        match decide(&self.tables, &flow) {
            Decision::Ruled(forward) => forward.verdict.action == device::Action::Allow,
            Decision::Dropped(cause) => panic!("{cause:?} of {asked:?}"),
        }
    }
}
