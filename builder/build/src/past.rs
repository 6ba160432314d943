//! What earlier runs left for an `out/` folder, shared by the workers of one run.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::BuildError;
use crate::latest::Latest;
use crate::memory::Memory;
use crate::workshop::Workshop;

/// What earlier runs left, which this one looks at and adds to.
#[derive(Debug)]
pub(crate) struct Past {
    /// What they put into `out/`.
    pub(crate) memory: Mutex<Memory>,
    /// What each piece of work came to.
    pub(crate) latest: Mutex<Latest>,
}

impl Past {
    /// Reads it.
    pub(crate) fn load(shop: &Workshop<'_>) -> Result<Self, BuildError> {
        let memory = Memory::load(shop.store, shop.output, shop.program)?;
        Ok(Self {
            memory: Mutex::new(memory),
            latest: Mutex::new(Latest::load(shop.store, shop.output)?),
        })
    }

    pub(crate) fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes both out, when nobody else looks at them any more.
    pub(crate) fn into_parts(self) -> (Memory, Latest) {
        let latest = self.latest.into_inner();
        let memory = self.memory.into_inner();
        (
            memory.unwrap_or_else(PoisonError::into_inner),
            latest.unwrap_or_else(PoisonError::into_inner),
        )
    }
}
