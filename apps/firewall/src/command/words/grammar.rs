//! Which commands are there: which words are possible where, and what is said of each?

/// A word and what may follow it.
pub(super) struct Node {
    pub(super) word: &'static str,
    pub(super) help: &'static str,
    pub(super) then: Then,
}

/// What follows a word.
pub(super) enum Then {
    /// Nothing.
    End,
    /// One value.
    Value(&'static str),
    /// One value, then one of these words.
    Entry(&'static str, &'static [Node]),
    /// Values to the end of the command, at least one.
    Values(&'static str),
    /// One of these words; the flag says whether the command may end here too.
    Words(&'static [Node], bool),
    /// Any of these options, each at most once, the required ones among them.
    Options(&'static [Choice]),
}

/// An option with its value; one without a hint has none.
pub(super) struct Choice {
    pub(super) name: &'static str,
    pub(super) hint: &'static str,
    pub(super) required: bool,
}

const fn required(name: &'static str, hint: &'static str) -> Choice {
    Choice { name, hint, required: true }
}

const fn optional(name: &'static str, hint: &'static str) -> Choice {
    Choice { name, hint, required: false }
}

const fn node(word: &'static str, help: &'static str, then: Then) -> Node {
    Node { word, help, then }
}

/// Protocols by number or by the names that values know.
const PROTOCOL: &str = "NUMBER|tcp|udp|icmp|icmp6";

/// States of sessions, as they may be written.
const STATES: &str = "opening|active|closing|closed|discard";

/// What of a session is translated, as it may be written.
const NAT: &str = "none|source|destination|both";

const FILTER: &[Node] = &[node(
    "filter",
    "only sessions that match all of",
    Then::Options(&[
        optional("source", "ADDRESS"),
        optional("destination", "ADDRESS"),
        optional("source-port", "PORT"),
        optional("destination-port", "PORT"),
        optional("protocol", PROTOCOL),
        optional("from", "ZONE"),
        optional("to", "ZONE"),
        optional("rule", "RULE"),
        optional("nat-rule", "RULE"),
        optional("nat", NAT),
        optional("state", STATES),
        optional("application", "APPLICATION"),
        optional("ingress-interface", "INTERFACE"),
        optional("egress-interface", "INTERFACE"),
        optional("min-age", "SECONDS"),
        optional("min-kb", "KILOBYTES"),
        optional("type", "flow|predict"),
        optional("count", "yes|no"),
        optional("start-at", "ID"),
    ]),
)];

const SESSION: &[Node] =
    &[node("all", "all sessions", Then::Words(FILTER, true)), node("id", "one session", Then::Value("ID"))];

const UNBLOCK: &[Node] =
    &[node("all", "of everybody", Then::End), node("source", "of one address or network", Then::Value("ADDRESS"))];
const RULES: &[Node] = &[node("all", "all rules", Then::End), node("list", "these rules", Then::Values("RULE"))];

const RULE_HITS: &[Node] = &[node(
    "vsys",
    "of a virtual system",
    Then::Words(
        &[node(
            "vsys-name",
            "its name",
            Then::Entry(
                "vsys1",
                &[node(
                    "rule-base",
                    "of a rule base",
                    Then::Entry("security|nat", &[node("rules", "which rules", Then::Words(RULES, false))]),
                )],
            ),
        )],
        false,
    ),
)];

const RUNNING: &[Node] = &[
    node("ippool", "how full the pools of the NAT rules are", Then::End),
    node(
        "nat-rule-ippool",
        "how full the pool of one NAT rule is, address by address",
        Then::Options(&[required("rule", "RULE")]),
    ),
    node("nat-policy", "the NAT rules", Then::End),
];

const SHOW: &[Node] = &[
    node(
        "session",
        "sessions",
        Then::Words(
            &[
                node("all", "all sessions", Then::Words(FILTER, true)),
                node("id", "one session with both directions", Then::Value("ID")),
                node("info", "how many sessions, and their limits", Then::End),
            ],
            false,
        ),
    ),
    node("counter", "counters", Then::Words(&[node("global", "all counters", Then::End)], false)),
    node("routing", "routing", Then::Words(ROUTING, false)),
    node("interface", "an interface, or `all`", Then::Value("NAME")),
    node("arp", "resolved neighbours, of an interface or `all`", Then::Value("NAME")),
    node(
        "dhcp",
        "DHCP",
        Then::Words(
            &[node(
                "client",
                "addresses of interfaces",
                Then::Words(&[node("state", "what an interface has, or `all`", Then::Value("NAME"))], false),
            )],
            false,
        ),
    ),
    node(
        "zone-protection",
        "what zone protection has done",
        Then::Words(&[node("zone", "in one zone", Then::Value("ZONE"))], true),
    ),
    node("dos-block-table", "blocked sources", Then::Words(&[node("all", "all of them", Then::End)], true)),
    node("traffic-objects", "tunnels with what went through them, and those that no object is for", Then::End),
    node("config", "configuration", Then::Words(&[node("running", "what is enforced, as XML", Then::End)], false)),
    node("object", "objects whose members come with time", Then::Words(OBJECT, false)),
    node("running", "what is in force", Then::Words(RUNNING, false)),
    node("rule-hit-count", "how often rules decided", Then::Words(RULE_HITS, false)),
    node("shadow-warning", "security rules that nothing can reach", Then::Words(SHADOW, true)),
    node("system", "the system", Then::Words(&[node("info", "version, uptime, configuration", Then::End)], false)),
];

const ROUTING: &[Node] = &[
    node("route", "the routing tables", Then::Words(ROUTE_OF, true)),
    node("fib", "the routes that packets follow", Then::Words(ROUTE_OF, true)),
    node("path-monitor", "static routes whose path is watched", Then::Words(ROUTE_OF, true)),
];

const ROUTE_OF: &[Node] = &[
    node("virtual-router", "of one router", Then::Value("ROUTER")),
    node("logical-router", "of one router", Then::Value("ROUTER")),
];

const FLOW: &[Choice] = &[
    required("from", "ZONE"),
    required("to", "ZONE"),
    required("source", "ADDRESS"),
    required("destination", "ADDRESS"),
    required("protocol", PROTOCOL),
    optional("source-port", "PORT"),
    optional("destination-port", "PORT"),
];

const NAT_FLOW: &[Choice] = &[
    required("from", "ZONE"),
    required("to", "ZONE"),
    required("source", "ADDRESS"),
    required("destination", "ADDRESS"),
    required("protocol", PROTOCOL),
    optional("source-port", "PORT"),
    optional("destination-port", "PORT"),
    optional("to-interface", "INTERFACE"),
];

const TEST: &[Node] = &[
    node("security-policy-match", "the security rule for a flow", Then::Options(FLOW)),
    node("nat-policy-match", "the NAT rule for a flow", Then::Options(NAT_FLOW)),
    node(
        "routing",
        "routing",
        Then::Words(
            &[
                node(
                    "fib-lookup",
                    "where packets for an address go",
                    Then::Options(&[
                        required("ip", "ADDRESS"),
                        optional("virtual-router", "ROUTER"),
                        optional("logical-router", "ROUTER"),
                        optional("source-ip", "ADDRESS"),
                        optional("source-port", "PORT"),
                        optional("destination-port", "PORT"),
                    ]),
                ),
                node("first-usable", "the address where clouds put a subnet's gateway", Then::Value("NETWORK")),
            ],
            false,
        ),
    ),
];

const EXPLAIN: &[Choice] = &[
    optional("ingress", "INTERFACE"),
    optional("from", "ZONE"),
    required("source", "ADDRESS"),
    required("destination", "ADDRESS"),
    required("protocol", PROTOCOL),
    optional("source-port", "PORT"),
    optional("destination-port", "PORT"),
];

const REQUEST: &[Node] = &[
    node(
        "dhcp",
        "DHCP",
        Then::Words(
            &[node(
                "client",
                "the address of an interface",
                Then::Words(
                    &[
                        node("renew", "ask for more time, or for an address", Then::Value("INTERFACE")),
                        node("release", "give it back", Then::Value("INTERFACE")),
                    ],
                    false,
                ),
            )],
            false,
        ),
    ),
    node("system", "the system", Then::Words(REQUEST_SYSTEM, false)),
];

const PACKET_DIAG: &[Node] = &[
    node("show", "how packet capture stands", Then::Words(&[node("setting", "all of it", Then::End)], false)),
    node(
        "set",
        "what is captured, and when",
        Then::Words(
            &[
                node("filter", "which packets; up to four filters", Then::Options(CAPTURE_FILTER)),
                node("capture", "stages, and whether it is on", Then::Options(CAPTURE)),
            ],
            false,
        ),
    ),
    node(
        "clear",
        "forget settings, delete files",
        Then::Words(
            &[
                node("all", "all of them", Then::End),
                node("filter", "filters", Then::Words(&[node("all", "all of them", Then::End)], false)),
                node("capture", "stages", Then::Words(&[node("all", "all of them", Then::End)], false)),
                node("file", "delete a captured file, or `all`", Then::Value("NAME")),
            ],
            false,
        ),
    ),
];

const CAPTURE_FILTER: &[Choice] = &[
    optional("match", ""),
    optional("ingress-interface", "INTERFACE"),
    optional("source", "ADDRESS"),
    optional("destination", "ADDRESS"),
    optional("source-port", "PORT"),
    optional("destination-port", "PORT"),
    optional("protocol", PROTOCOL),
    optional("on", ""),
    optional("off", ""),
];

const CAPTURE: &[Choice] = &[
    optional("stage", "receive|firewall|transmit|drop"),
    optional("file", "NAME"),
    optional("packet-count", "NUMBER"),
    optional("byte-count", "NUMBER"),
    optional("snaplen", "BYTES"),
    optional("on", ""),
    optional("off", ""),
];

/// All commands.
pub(super) const ROOT: &[Node] = &[
    node("show", "show something", Then::Words(SHOW, false)),
    node("test", "what would happen to a flow", Then::Words(TEST, false)),
    node(
        "clear",
        "remove something",
        Then::Words(
            &[
                node("session", "end sessions", Then::Words(SESSION, false)),
                node("dos-block-table", "end blocks", Then::Words(UNBLOCK, false)),
                node("rule-hit-count", "forget how often rules decided", Then::Words(RULE_HITS, false)),
            ],
            false,
        ),
    ),
    node("request", "have something done", Then::Words(REQUEST, false)),
    node(
        "debug",
        "look closer",
        Then::Words(
            &[node(
                "dataplane",
                "the workers",
                Then::Words(&[node("packet-diag", "packet capture", Then::Words(PACKET_DIAG, false))], false),
            )],
            false,
        ),
    ),
    node("explain", "what happens to a flow, step by step", Then::Options(EXPLAIN)),
];

const REQUEST_SYSTEM: &[Node] = &[
    node(
        "fqdn",
        "the names of address objects",
        Then::Words(
            &[node("show", "their addresses", Then::End), node("refresh", "resolve them again at once", Then::End)],
            false,
        ),
    ),
    node(
        "external-list",
        "external dynamic lists",
        Then::Words(
            &[
                node("show", "what is in one", Then::Options(EXTERNAL_LIST)),
                node("refresh", "fetch one again at once", Then::Options(EXTERNAL_LIST)),
            ],
            false,
        ),
    ),
];

const EXTERNAL_LIST: &[Choice] = &[required("type", "ip"), required("name", "LIST")];

const SHADOW: &[Node] = &[node("rule", "what reaches one rule", Then::Value("RULE"))];

const OBJECT: &[Node] = &[
    node(
        "registered-ip",
        "addresses with registered tags",
        Then::Options(&[
            optional("all", ""),
            optional("ip", "ADDRESS"),
            optional("tag", "TAG"),
            optional("limit", "COUNT"),
            optional("start-point", "NUMBER"),
        ]),
    ),
    node(
        "dynamic-address-group",
        "dynamic address groups with their members",
        Then::Words(&[node("all", "all of them", Then::End), node("name", "one of them", Then::Value("GROUP"))], false),
    ),
];
