//! Is there room for another session?

use bartizan_engine::verdict::DropReason;

use super::session::Kind;
use super::{Reference, TIMER_TICK, Time};

/// One in so many sessions may be a refused one.
const REFUSED_SHARE: usize = 2;

/// A session that is over, which the engine may still have for a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    pub(super) since: Time,
    pub(super) refused: bool,
    pub(super) tunnels: usize,
}

impl Reference {
    /// Why no session may be added, if none may.
    pub(super) fn no_room(&self) -> Option<DropReason> {
        if self.sessions.len() >= self.bounds.sessions {
            return Some(DropReason::SessionTableFull);
        }
        let full = self.header.is_some() && self.tunnels() >= self.bounds.tunnel_sessions;
        full.then_some(DropReason::TunnelTableFull)
    }

    /// Whether refused flows are not remembered any more.
    pub(super) fn forgets_refused(&self) -> bool {
        self.sessions.len() >= self.bounds.sessions || self.refused() >= self.most_refused()
    }

    /// Whether there is room depends on whether the engine has noticed what is over.
    pub(crate) fn may_be_full(&self) -> bool {
        let late = || self.late.iter().filter(|late| self.now < late.since + TIMER_TICK);
        let unsure = |known: usize, late: usize, most: usize| known < most && known + late >= most;
        unsure(self.sessions.len(), late().count(), self.bounds.sessions)
            || unsure(self.refused(), late().filter(|late| late.refused).count(), self.most_refused())
            || unsure(self.tunnels(), late().map(|late| late.tunnels).sum(), self.bounds.tunnel_sessions)
    }

    fn refused(&self) -> usize {
        self.sessions.iter().filter(|session| matches!(session.kind, Kind::Refused { .. })).count()
    }

    fn most_refused(&self) -> usize {
        self.bounds.sessions.div_ceil(REFUSED_SHARE)
    }
}
