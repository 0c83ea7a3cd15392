//! When does a device take a push back? `deviceconfig/setting/management`, "automated commit recovery" on PAN-OS.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::context::Context;
use super::node::Node;

/// How long a device looks for its manager after a push, before it takes the previous configuration back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitRecovery {
    /// Whether it takes anything back.
    pub enabled: bool,
    /// `commit-recovery-retry`: so many intervals.
    pub attempts: u32,
    /// `commit-recovery-timeout`, seconds: the length of one interval.
    pub interval_s: u32,
}

/// Without the elements; PAN-OS has one attempt of ten seconds, which a restart of the manager outlasts.
impl Default for CommitRecovery {
    fn default() -> Self {
        Self { enabled: true, attempts: 3, interval_s: 10 }
    }
}

impl CommitRecovery {
    /// The time in which the manager must be reached.
    pub fn window(&self) -> Duration {
        Duration::from_secs(u64::from(self.attempts) * u64::from(self.interval_s))
    }
}

/// Attempts (PAN-OS).
const ATTEMPTS: RangeInclusive<u32> = 1..=5;
/// Seconds between attempts (PAN-OS).
const INTERVAL_S: RangeInclusive<u32> = 5..=60;

/// Reads the settings of a `deviceconfig`.
pub(super) fn read(context: &mut Context, deviceconfig: &Node<'_>) -> CommitRecovery {
    let default = CommitRecovery::default();
    let Some(node) = deviceconfig.child("setting").and_then(|setting| setting.child("management")) else {
        return default;
    };
    CommitRecovery {
        enabled: !context.yes_no(&node, "disable-commit-recovery").unwrap_or(!default.enabled),
        attempts: context.number(&node, "commit-recovery-retry", ATTEMPTS).unwrap_or(default.attempts),
        interval_s: context.number(&node, "commit-recovery-timeout", INTERVAL_S).unwrap_or(default.interval_s),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CommitRecovery, Report, Scope, read};
    use crate::xml;

    fn report(management: &str) -> Report {
        let text = format!(
            "<config><devices><entry name='localhost.localdomain'><deviceconfig><setting><management>{management}\
             </management></setting></deviceconfig></entry></devices></config>"
        );
        read(&xml::parse(&text).unwrap(), Scope::Device)
    }

    #[test]
    fn a_device_takes_back_unless_it_is_told_not_to() {
        assert_eq!(report("").config.unwrap().recovery, CommitRecovery::default());
        let set = report(
            "<commit-recovery-retry>2</commit-recovery-retry><commit-recovery-timeout>5</commit-recovery-timeout>",
        );
        assert_eq!(set.diagnostics, []);
        let recovery = set.config.unwrap().recovery;
        assert_eq!((recovery.enabled, recovery.window().as_secs()), (true, 10));
        assert!(!report("<disable-commit-recovery>yes</disable-commit-recovery>").config.unwrap().recovery.enabled);
        assert!(report("<disable-commit-recovery>no</disable-commit-recovery>").config.unwrap().recovery.enabled);
    }

    #[test]
    fn numbers_beyond_the_ranges_are_refused() {
        let read = report(
            "<commit-recovery-retry>6</commit-recovery-retry><commit-recovery-timeout>4</commit-recovery-timeout>",
        );
        let codes: Vec<_> = read.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        assert_eq!(codes, ["invalid-number", "invalid-number"]);
        assert!(read.config.is_none());
    }
}
