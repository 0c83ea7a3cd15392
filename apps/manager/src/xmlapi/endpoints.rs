//! Which requests are there at all, and what does each need of whoever makes it?
//!
//! What is not here is refused as unknown, so the lists are complete: a test asks every one of them as every role.

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It only tells.
    Reading,
    /// It changes something of the manager.
    Change,
    /// It changes the candidate, or keeps others from doing so.
    Editing,
}

/// Actions of `type=config`.
pub const CONFIG_ACTIONS: &[(&str, Need)] = &[
    ("get", Need::Reading),
    ("show", Need::Reading),
    ("complete", Need::Reading),
    ("set", Need::Editing),
    ("edit", Need::Editing),
    ("override", Need::Editing),
    ("delete", Need::Editing),
    ("rename", Need::Editing),
    ("clone", Need::Editing),
    ("move", Need::Editing),
    ("multi-move", Need::Editing),
    ("multi-clone", Need::Editing),
    ("multi-config", Need::Editing),
];

/// Every other `type`, but `keygen`, which is for those who have no role yet.
pub const TYPES: &[(&str, Need)] = &[
    ("commit", Need::Change),
    ("export", Need::Reading),
    ("import", Need::Change),
    ("log", Need::Reading),
    ("report", Need::Reading),
    ("user-id", Need::Change),
    ("version", Need::Reading),
];

/// Operational commands by their first words.
pub const COMMANDS: &[(&str, Need)] = &[
    ("show system info", Need::Reading),
    ("show clock", Need::Reading),
    ("show admins", Need::Reading),
    ("show chassis-ready", Need::Reading),
    ("show plugins packages", Need::Reading),
    ("show plugins kubernetes", Need::Reading),
    ("show object registered-ip", Need::Reading),
    ("show high-availability", Need::Reading),
    ("show logging-status", Need::Reading),
    ("show log-forwarding", Need::Reading),
    ("show config-locks", Need::Reading),
    ("show approvals", Need::Reading),
    ("request approval approve", Need::Change),
    ("request approval refuse", Need::Change),
    ("show automation", Need::Reading),
    ("request automation run", Need::Change),
    ("request automation approve", Need::Change),
    ("request automation comment", Need::Change),
    ("request automation playbook", Need::Change),
    ("show config-report", Need::Reading),
    ("request import-firewall", Need::Editing),
    ("show config-log-integrity", Need::Reading),
    ("show commit-locks", Need::Reading),
    ("show jobs", Need::Reading),
    ("clear job", Need::Change),
    ("show scheduled-config-push", Need::Reading),
    ("request scheduled-config-push run", Need::Change),
    ("show devices", Need::Reading),
    ("show devicegroups", Need::Reading),
    ("show templates", Need::Reading),
    ("show template-stack", Need::Reading),
    ("show dg-hierarchy", Need::Reading),
    ("show config", Need::Reading),
    ("check pending-changes", Need::Reading),
    ("check full-commit-required", Need::Reading),
    ("request password-hash", Need::Reading),
    ("request api-key expire", Need::Reading),
    ("request certificate generate", Need::Editing),
    ("request certificate renew", Need::Editing),
    ("request certificate show", Need::Reading),
    ("request device re-enrol", Need::Change),
    ("request device renew-certificate", Need::Change),
    ("request device remove", Need::Change),
    ("request bootstrap vm-auth-key", Need::Change),
    ("request authkey add", Need::Change),
    ("request authkey list", Need::Change),
    ("request authkey delete", Need::Change),
    ("request config-lock", Need::Editing),
    ("request commit-lock", Need::Editing),
    ("request move-dg", Need::Editing),
    ("save config", Need::Editing),
    ("delete config saved", Need::Editing),
    ("load config", Need::Editing),
    ("revert config", Need::Editing),
    ("set audit-comment", Need::Editing),
    ("validate", Need::Editing),
];

/// What somebody may ask whose role is for a part of the configuration: these answer by that part. Every other
/// request is about the whole, and refused.
pub const WITHIN_A_PART: &[&str] = &[
    "get",
    "show",
    "complete",
    "set",
    "edit",
    "override",
    "delete",
    "rename",
    "clone",
    "move",
    "multi-move",
    "multi-clone",
    "multi-config",
    "commit",
    "log",
    "user-id",
    "version",
    "show system info",
    "show clock",
    "show admins",
    "show chassis-ready",
    "show plugins packages",
    "show high-availability",
    "show config-locks",
    "show commit-locks",
    "show jobs",
    "clear job",
    "show devices",
    "show devicegroups",
    "show templates",
    "show template-stack",
    "show dg-hierarchy",
    "show config",
    "check pending-changes",
    "check full-commit-required",
    "request password-hash",
    "request api-key expire",
    "request config-lock",
    "revert config",
    "set audit-comment",
    "validate",
];

/// Commands of the list that are about a fleet: a firewall does not have them.
pub const OF_MANAGERS: &[&str] = &[
    "show plugins kubernetes",
    "show automation",
    "request automation run",
    "request automation approve",
    "request automation comment",
    "request automation playbook",
    "show object registered-ip",
    "show log-forwarding",
    "show scheduled-config-push",
    "request scheduled-config-push run",
    "show devices",
    "show devicegroups",
    "show templates",
    "show template-stack",
    "show dg-hierarchy",
    "request device re-enrol",
    "request device renew-certificate",
    "request device remove",
    "request bootstrap vm-auth-key",
    "request authkey add",
    "request authkey list",
    "request authkey delete",
    "request move-dg",
];

/// Types whose requests are passed on with `target=SERIAL` to that firewall, which answers them. What `log` and
/// `version` answer is about the manager in any case, as on PAN-OS.
pub const PASSED_ON: &[&str] = &["config", "commit", "op", "user-id", "export"];

/// Category of `type=export` for captured packets, as PAN-OS has it.
pub(crate) const PACKETS: &str = "filters-pcap";

/// What an entry of one of these lists needs.
pub(crate) fn need_of(list: &[(&str, Need)], name: &str) -> Option<Need> {
    list.iter().find(|(known, _)| *known == name).map(|(_, need)| *need)
}
