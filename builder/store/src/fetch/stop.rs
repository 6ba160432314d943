//! How fetching is told to stop: by a question that it asks again and again.
//!
//! The room that stops steps is another one, which this one does not know.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How often the question is asked: nobody feels the wait, and nothing feels the question.
const INTERVAL: Duration = Duration::from_millis(50);

/// Says whether somebody wants fetching to stop.
#[derive(Clone, Default)]
pub(crate) struct Stop(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stop({})", self.is_raised())
    }
}

impl Stop {
    pub(crate) fn when(question: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(question)))
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.as_ref().is_some_and(|question| question())
    }

    /// Returns once it is so.
    pub(crate) async fn raised(&self) {
        while !self.is_raised() {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
