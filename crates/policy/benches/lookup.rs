//! What does a decision cost as rules are added, beside a plain scan of the same rules?

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "memory is a figure of this bench, and divan measures only time")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use bartizan_model::device::{self, Scope, Validated};
use bartizan_model::xml;
use bartizan_policy::compile::{compile, recompile};
use bartizan_policy::decide::decide;
use bartizan_policy::facts::Facts;
use bartizan_policy::tables::{Compiled, Flow, Ids};
use divan::Bencher;

fn main() {
    for count in RULES {
        let bytes = tables(&rules(*count)).rule_bytes();
        println!("{count} rules: {bytes} bytes of rule tables, {} a rule", bytes / count);
    }
    divan::main();
}

const RULES: &[usize] = &[1, 100, 1000, 5000, 50_000];

/// Flows decided per iteration, so that neither caches nor branch predictors learn one flow by heart.
const FLOWS: usize = 1024;

/// One rule of the base: from a network of sources to one server and port.
#[derive(Clone, Copy)]
struct Rule {
    from: usize,
    to: usize,
    source: (u32, u32),
    destination: u32,
    port: u16,
}

/// A small deterministic generator: every run measures the same rules and flows.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(limit)) as u32
    }
}

const ZONES: usize = 4;

fn rules(count: usize) -> Vec<Rule> {
    let mut random = Random(count as u64);
    let rule = |_| {
        let source = random.below(1 << 16) << 8;
        Rule {
            from: random.below(ZONES as u32) as usize,
            to: random.below(ZONES as u32) as usize,
            source: (0x0a00_0000 | source & 0x00ff_ff00, 0x0a00_0000 | source & 0x00ff_ff00 | 0xff),
            destination: network(random.below(ZONES as u32) as usize) | random.below(1 << 16),
            port: 1 + random.below(2000) as u16,
        }
    };
    (0..count).map(rule).collect()
}

/// The /16 behind an interface.
fn network(interface: usize) -> u32 {
    0xac10_0000 + ((interface as u32) << 16)
}

fn config(rules: &[Rule]) -> Validated {
    let ip = Ipv4Addr::from_bits;
    let mut xml = String::from("<config><devices><entry name='localhost.localdomain'><network><interface><ethernet>");
    for at in 0..ZONES {
        let address = ip(network(at) + 1);
        write!(
            xml,
            "<entry name='ethernet1/{at}'><layer3><ip><entry name='{address}/16'/></ip></layer3></entry>",
            at = at + 1
        )
        .unwrap();
    }
    xml += "</ethernet></interface><virtual-router><entry name='default'><interface>";
    for at in 1..=ZONES {
        write!(xml, "<member>ethernet1/{at}</member>").unwrap();
    }
    xml += "</interface></entry></virtual-router></network><vsys><entry name='vsys1'><zone>";
    for at in 1..=ZONES {
        write!(
            xml,
            "<entry name='zone-{at}'><network><layer3><member>ethernet1/{at}</member></layer3></network></entry>"
        )
        .unwrap();
    }
    xml += "</zone><service>";
    for port in 1..=2000 {
        write!(xml, "<entry name='tcp-{port}'><protocol><tcp><port>{port}</port></tcp></protocol></entry>").unwrap();
    }
    xml += "</service><rulebase><security><rules>";
    for (at, rule) in rules.iter().enumerate() {
        write!(
            xml,
            "<entry name='rule-{at}'><from><member>zone-{}</member></from><to><member>zone-{}</member></to>\
             <source><member>{}/24</member></source><destination><member>{}</member></destination>\
             <service><member>tcp-{}</member></service><application><member>any</member></application>\
             <action>allow</action></entry>",
            rule.from + 1,
            rule.to + 1,
            ip(rule.source.0),
            ip(rule.destination),
            rule.port,
        )
        .unwrap();
    }
    xml += "</rules></security></rulebase></entry></vsys></entry></devices></config>";
    let report = device::read(&xml::parse(&xml).unwrap(), Scope::Device);
    report.config.unwrap_or_else(|| panic!("{:?}", report.diagnostics.first()))
}

fn tables(rules: &[Rule]) -> Compiled {
    compile(&config(rules), &Facts::default(), &mut Ids::default(), 1).unwrap()
}

/// Flows of which half are meant for some rule and half for none.
fn flows(rules: &[Rule], tables: &Compiled) -> Vec<Flow> {
    let mut random = Random(7);
    let flow = |at| {
        let rule = rules[random.below(rules.len() as u32) as usize];
        let port = if at % 2 == 0 { rule.port } else { 2001 + random.below(60_000) as u16 };
        Flow {
            ingress: tables.interface_id(&format!("ethernet1/{}", rule.from + 1)).unwrap(),
            source: IpAddr::V4(Ipv4Addr::from_bits(rule.source.0 + random.below(256))),
            destination: IpAddr::V4(Ipv4Addr::from_bits(rule.destination)),
            protocol: 6,
            source_port: 1024 + random.below(60_000) as u16,
            destination_port: port,
        }
    };
    (0..FLOWS).map(flow).collect()
}

/// The whole decision: zones, routes, NAT and security rules.
#[divan::bench(args = RULES)]
fn decide_1024_flows(bencher: Bencher<'_, '_>, count: usize) {
    let rules = rules(count);
    let tables = tables(&rules);
    let flows = flows(&rules, &tables);
    bencher.counter(FLOWS).bench_local(|| {
        for flow in &flows {
            black_box(decide(&tables, black_box(flow)));
        }
    });
}

/// The peer: only the security rules, asked one after the other.
#[divan::bench(args = RULES)]
fn scan_1024_flows(bencher: Bencher<'_, '_>, count: usize) {
    let rules = rules(count);
    let flows = flows(&rules, &tables(&rules));
    let bits = |ip| match ip {
        IpAddr::V4(ip) => Ipv4Addr::to_bits(ip),
        IpAddr::V6(_) => 0,
    };
    bencher.counter(FLOWS).bench_local(|| {
        for flow in &flows {
            let (source, destination) = (bits(flow.source), bits(flow.destination));
            let (from, to) = (flow.ingress.index(), (destination.wrapping_sub(network(0)) >> 16) as usize);
            black_box(black_box(&rules).iter().position(|rule| {
                rule.from == from
                    && rule.to == to
                    && (rule.source.0..=rule.source.1).contains(&source)
                    && rule.destination == destination
                    && rule.port == flow.destination_port
            }));
        }
    });
}

/// From the validated configuration to tables.
#[divan::bench(args = RULES)]
fn compile_rules(bencher: Bencher<'_, '_>, count: usize) {
    let config = config(&rules(count));
    let mut ids = Ids::default();
    bencher.bench_local(|| compile(black_box(&config), &Facts::default(), &mut ids, 1).unwrap());
}

/// The same after the source of one rule changed, with the tables of before at hand.
#[divan::bench(args = RULES)]
fn recompile_one_rule_changed(bencher: Bencher<'_, '_>, count: usize) {
    let mut rules = rules(count);
    let mut ids = Ids::default();
    let before = compile(&config(&rules), &Facts::default(), &mut ids, 1).unwrap();
    let rule = rules.get_mut(count / 2).unwrap();
    rule.source = (0x0b00_0000, 0x0b00_00ff);
    let config = config(&rules);
    bencher.bench_local(|| recompile(black_box(&config), &Facts::default(), &mut ids, &before, 2).unwrap());
}
