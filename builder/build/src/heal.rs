//! What is done about damage: the store sets a damaged thing aside when it meets it, so the same act
//! tried again finds it missing, and fetches it or makes it anew.

use crate::error::BuildError;
use crate::workshop::{Event, Workshop};

/// Times that one act is tried again. Each time something else was found damaged; a disk on which more
/// than this is damaged at once is not worth a build.
pub(crate) const MOST_TRIES: usize = 16;

/// Tells what was set aside since this was last told.
pub(crate) fn tell_set_aside(shop: &Workshop<'_>) {
    for found in shop.store.take_set_aside() {
        shop.report.tell(&Event::SetAside {
            thing: found.thing,
            evidence: &found.evidence,
        });
    }
}

/// Returns whether an act that failed so may have failed because of something that was set aside since
/// `before`, which is what [`kiln_store::Store::set_aside_count`] said when it began.
pub(crate) fn may_be_healed(shop: &Workshop<'_>, error: &BuildError, before: usize) -> bool {
    let is_other = matches!(
        error,
        BuildError::Cancelled
            | BuildError::StepFailed { .. }
            | BuildError::PackagingFailed { .. }
            | BuildError::Fetch(_)
    );
    !is_other && shop.store.set_aside_count() > before
}

/// Does something that can be tried again, and does try it again when something in the store proved
/// damaged on the way.
pub(crate) fn healed<T>(
    shop: &Workshop<'_>,
    mut act: impl FnMut() -> Result<T, BuildError>,
) -> Result<T, BuildError> {
    let mut tries = 0;
    loop {
        let before = shop.store.set_aside_count();
        let outcome = act();
        tell_set_aside(shop);
        match outcome {
            Err(error) if tries < MOST_TRIES && may_be_healed(shop, &error, before) => tries += 1,
            outcome => return outcome,
        }
    }
}
