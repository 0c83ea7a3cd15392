//! Is the firewall itself well under a configuration that was just pushed?
//!
//! Its workers answer, and every monitored path that answered before the push answers again.

use std::collections::BTreeSet;

use bartizan_engine::verdict::Time;
use bartizan_policy::facts::RouteName;

use crate::firewall::Firewall;
use crate::pathmon::View;
use crate::pathmon::monitor::{Standing, Target};

/// What is looked at after a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks {
    /// Since when an answer counts.
    pub(super) since: Time,
    /// Monitored routes that must be answered.
    pub(super) paths: BTreeSet<RouteName>,
}

/// The monitored routes whose paths answer.
pub(super) fn answering(firewall: &Firewall) -> BTreeSet<RouteName> {
    let views = firewall.path_monitor().map(|monitor| monitor.views()).unwrap_or_default();
    let answers = |view: &View| view.monitor.standing() == Standing::Up && view.monitor.targets().iter().any(answered);
    views.into_iter().filter(answers).map(|view| view.name).collect()
}

fn answered(target: &Target) -> bool {
    target.heard.is_some()
}

impl Checks {
    /// Whether all is well; otherwise what is not, as one sentence.
    pub(super) async fn run(&self, firewall: &Firewall) -> Result<(), String> {
        if let Err(error) = firewall.vitals().await {
            return Err(format!("the data plane is not well: {error:#}"));
        }
        let views = firewall.path_monitor().map(|monitor| monitor.views()).unwrap_or_default();
        self.paths_of(&views)
    }

    fn paths_of(&self, views: &[View]) -> Result<(), String> {
        let silent = |view: &&View| {
            let since = |target: &Target| target.heard.is_some_and(|heard| heard >= self.since);
            self.paths.contains(&view.name) && !view.monitor.targets().iter().any(since)
        };
        match views.iter().find(silent) {
            None => Ok(()),
            Some(View { name, .. }) => Err(format!(
                "the monitored path of route `{}` of router `{}` answered before and does not answer now",
                name.route, name.router
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use bartizan_engine::settings::SECOND;
    use bartizan_model::device::{MonitorDestination, PathMonitor};

    use super::*;
    use crate::pathmon::monitor::Monitor;

    fn view(route: &str, heard_at_s: Option<u64>) -> View {
        let destination = MonitorDestination {
            name: "gateway".to_owned(),
            source: None,
            destination: "192.0.2.1".parse().unwrap(),
            interval_s: 3,
            count: 5,
        };
        let settings = PathMonitor { all_must_fail: false, hold_minutes: 0, destinations: vec![destination] };
        let mut monitor = Monitor::new(settings, [1], Time(0));
        for probe in monitor.tick(Time(0), || 7) {
            if let Some(second) = heard_at_s {
                monitor.hear(probe.identifier, probe.sequence, Time(second * SECOND));
            }
        }
        let name = RouteName { router: "lr1".to_owned(), v6: false, route: route.to_owned() };
        View { name, destination: "0.0.0.0/0".parse().unwrap(), exit: None, monitor }
    }

    #[test]
    fn a_path_that_answered_before_must_answer_again() {
        let before = view("internet", Some(1));
        let checks = Checks { since: Time(5 * SECOND), paths: BTreeSet::from([before.name.clone()]) };
        let silent = checks.paths_of(&[before]).unwrap_err();
        assert!(silent.starts_with("the monitored path of route `internet` of router `lr1`"), "{silent}");
        assert_eq!(checks.paths_of(&[view("internet", Some(6))]), Ok(()));
        // One that never answered, and one that is not monitored any more, say nothing about the push.
        assert_eq!(checks.paths_of(&[view("backup", None)]), Ok(()));
        assert_eq!(checks.paths_of(&[]), Ok(()));
    }
}
