//! Why is a request refused, whichever API it came by?

use crate::configuration::edit::EditFailure;
use crate::configuration::{ApplyError, PartialError};
use crate::jobs::EnqueueError;
use crate::xmlapi::reply::{Reply, code};

/// A refusal, in the words of PAN-OS where it has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Code of the XML API.
    pub(crate) code: u16,
    /// What is wrong, and what to do instead.
    pub(crate) lines: Vec<String>,
}

impl Refusal {
    /// One with these lines.
    pub(crate) fn new<L: Into<String>>(code: u16, lines: impl IntoIterator<Item = L>) -> Self {
        Self { code, lines: lines.into_iter().map(Into::into).collect() }
    }

    /// The manager's own fault. The cause goes to the log, not to the client.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(code::INTERNAL, ["internal error; the manager's log says more"])
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::error(refusal.code, &refusal.lines)
    }
}

impl From<EditFailure> for Refusal {
    fn from(failure: EditFailure) -> Self {
        Self { code: failure.code, lines: failure.lines }
    }
}

impl From<ApplyError> for Refusal {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Edit { failure, .. } => failure.into(),
            ApplyError::Store(error) => Self::internal(&error),
        }
    }
}

impl From<PartialError> for Refusal {
    fn from(error: PartialError) -> Self {
        match error {
            PartialError::Conflict(conflict) => Self::new(code::NOT_POSSIBLE, conflict.0),
            PartialError::Store(error) => Self::internal(&error),
        }
    }
}

impl From<EnqueueError> for Refusal {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Store(error) => Self::internal(&error),
            error @ (EnqueueError::CommitInProgress | EnqueueError::QueueFull) => {
                Self::new(code::NOT_POSSIBLE, [error.to_string()])
            }
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::internal(&error)
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::internal(&format!("{error:#}"))
    }
}
