//! `kiln lock`: pins distribution packages, base images and what is known of sources.

use kiln_build::{OnFailure, Renewal};

use crate::arguments::{Common, Lock};
use crate::failure::Failure;
use crate::interrupt::FirstSignal;
use crate::session::Session;

/// Writes lockfiles; one that already fits is left alone.
pub fn run(common: &Common, lock: &Lock) -> Result<u8, Failure> {
    let session = Session::open(common, FirstSignal::Ends)?;
    let renewal = if lock.update {
        Renewal::Everything
    } else {
        Renewal::WhatChanged
    };
    let on_failure = if lock.keep_going {
        OnFailure::KeepGoing
    } else {
        OnFailure::Stop
    };
    kiln_build::lock(&session.workshop(), &lock.names, renewal, on_failure)
        .map_err(|error| Failure::build(&session.project, &error))?;
    Ok(0)
}
