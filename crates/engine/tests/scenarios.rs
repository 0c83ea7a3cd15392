//! What does the engine do with whole conversations, as an operator would tell them?

#[path = "scenarios/autoconf.rs"]
mod autoconf;
#[path = "scenarios/azure.rs"]
mod azure;
#[path = "scenarios/bursts.rs"]
mod bursts;
#[path = "scenarios/cookies.rs"]
mod cookies;
#[path = "scenarios/dhcp.rs"]
mod dhcp;
#[path = "scenarios/drops.rs"]
mod drops;
#[path = "scenarios/fragments.rs"]
mod fragments;
#[path = "scenarios/hairpin.rs"]
mod hairpin;
#[path = "scenarios/house.rs"]
mod house;
#[path = "scenarios/lab.rs"]
mod lab;
#[path = "scenarios/links.rs"]
mod links;
#[path = "scenarios/looks.rs"]
mod looks;
#[path = "scenarios/nat.rs"]
mod nat;
#[path = "scenarios/protection.rs"]
mod protection;
#[path = "scenarios/sessions.rs"]
mod sessions;
#[path = "scenarios/tunnels.rs"]
mod tunnels;
#[path = "scenarios/vlans.rs"]
mod vlans;
