//! What jobs tell, on the way and at the end.

use super::frame::Frame;
use super::objects::Grant;
use crate::{Error, Result};
use serde_json::json;
use std::any::Any;

/// What is found where a job's next event is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The last event has been taken.
    End = 0,
    /// An event on the way.
    Progress = 1,
    /// The last event of work that succeeded.
    Done = 2,
    /// The last event of work that failed: `{"kind": …, "message": …}`.
    Failed = 3,
    /// No event yet: the work has had a turn, and asks for another.
    Working = 4,
}

/// What work gives in the end.
pub struct Reply {
    /// The answer.
    pub frame: Frame,
    /// The object that the answer names. It is closed again if nobody takes the answer.
    pub grant: Option<Grant>,
}

impl Reply {
    /// An answer that opens nothing.
    pub fn new(frame: Frame) -> Self {
        Self { frame, grant: None }
    }
}

/// An encoded event, and the object that it names.
pub(super) struct Event {
    pub kind: Kind,
    pub bytes: Vec<u8>,
    pub grant: Option<Grant>,
}

impl Event {
    /// An event on the way.
    pub fn progress(frame: &Frame) -> Self {
        Self { kind: Kind::Progress, bytes: frame.encode(), grant: None }
    }

    /// How work ended.
    pub fn last(reply: Result<Reply>) -> Self {
        match reply {
            Ok(Reply { frame, grant }) => Self { kind: Kind::Done, bytes: frame.encode(), grant },
            Err(error) => {
                let frame = Frame::new(json!({ "kind": error.kind(), "message": error.to_string() }));
                Self { kind: Kind::Failed, bytes: frame.encode(), grant: None }
            }
        }
    }
}

/// The words of a panic.
pub fn panicked(panic: &(dyn Any + Send)) -> Error {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    Error::Internal(words.to_owned())
}
