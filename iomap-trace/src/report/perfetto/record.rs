//! What the UI shows of a slice that is clicked.

use serde::Serialize;

use crate::correlate::Judged;
use crate::event::{Holder, Touched};
use crate::report::cell;

/// The arguments of a slice.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Args {
    /// Number of the failure in its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<u64>,
    /// Number of the holder in its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<u64>,
    /// Path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// First byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pos: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// When, nanoseconds since boot, as in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts_ns: Option<u64>,
    /// The verdict in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// How a task came to the page cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// Kernel stack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<String>,
}

impl Args {
    /// A failure's.
    pub fn of_failure(judged: &Judged) -> Self {
        let failure = &judged.failure;
        let escaped = failure.flags.iter().any(|flag| flag == "path-escaped");
        let path = failure.path.as_ref();
        Self {
            failure: Some(failure.id),
            file: path.map(|path| cell::clean(path, !escaped)),
            pos: Some(failure.pos),
            len: Some(failure.len),
            ts_ns: Some(failure.ts_ns),
            verdict: Some(crate::report::sentence(judged)),
            stack: stack(&failure.stack),
            ..Self::default()
        }
    }

    /// A holder's.
    pub fn of_holder(holder: &Holder) -> Self {
        Self {
            holder: Some(holder.id),
            pos: Some(holder.pos),
            len: Some(holder.len),
            ts_ns: Some(holder.start_ns),
            stack: stack(&holder.stack),
            ..Self::default()
        }
    }

    /// Of a task that touched pages of `file`.
    pub fn of_touched(touched: &Touched, file: Option<String>) -> Self {
        Self {
            failure: Some(touched.failure),
            file,
            ts_ns: Some(touched.ts_ns),
            how: serde_json::to_value(touched.how)
                .ok()
                .and_then(|how| how.as_str().map(str::to_owned)),
            ..Self::default()
        }
    }
}

fn stack(frames: &[String]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| cell::clean(frame, true))
        .collect()
}
