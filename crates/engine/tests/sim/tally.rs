//! What did all scenarios together do?

/// What a scenario did, for the summary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) packets: usize,
    /// Packets that came through the tunnel.
    pub(crate) inside: usize,
    /// Packets that left into it.
    pub(crate) entered: usize,
    pub(crate) forwarded: usize,
    pub(crate) answered: usize,
    pub(crate) errors: usize,
    /// Packets that came in fragments, and those that left in them.
    pub(crate) in_fragments: usize,
    pub(crate) out_fragments: usize,
    /// The same of packets around others in tunnels.
    pub(crate) outer_fragments: usize,
    pub(crate) outer_out_fragments: usize,
    pub(crate) too_big: usize,
    pub(crate) commits: usize,
    pub(crate) refused_configs: usize,
    /// New sessions with a fixed new source, one of a pool, a new destination.
    pub(crate) sources: usize,
    pub(crate) pools: usize,
    pub(crate) destinations: usize,
    /// New sessions whose server is one of several.
    pub(crate) spread: usize,
    /// New sessions that end at the host behind the local link.
    pub(crate) health_checks: usize,
    /// New sessions that found no address of their own.
    pub(crate) dry: usize,
    /// Packets that a protection profile refused.
    pub(crate) protected: usize,
    /// SYNs that were answered with a cookie, and connections that began so.
    pub(crate) cookies: usize,
    pub(crate) relayed: usize,
}

impl Tally {
    /// Adds another scenario's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.inside += other.inside;
        self.entered += other.entered;
        self.forwarded += other.forwarded;
        self.answered += other.answered;
        self.errors += other.errors;
        self.in_fragments += other.in_fragments;
        self.out_fragments += other.out_fragments;
        self.outer_fragments += other.outer_fragments;
        self.outer_out_fragments += other.outer_out_fragments;
        self.too_big += other.too_big;
        self.commits += other.commits;
        self.refused_configs += other.refused_configs;
        self.sources += other.sources;
        self.pools += other.pools;
        self.destinations += other.destinations;
        self.spread += other.spread;
        self.health_checks += other.health_checks;
        self.dry += other.dry;
        self.protected += other.protected;
        self.cookies += other.cookies;
        self.relayed += other.relayed;
    }
}
