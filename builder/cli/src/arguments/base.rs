//! The choice of a base image for all recipes: `--base`.

use kiln_model::{BaseName, NameError};

use super::Common;

/// The base image of `--base`; none for an empty text, as an unset variable often is.
#[derive(Debug, Clone)]
pub struct ChosenBase(Option<BaseName>);

/// Reads the value of the option.
pub fn base_or_none(text: &str) -> Result<ChosenBase, NameError> {
    match text {
        "" => Ok(ChosenBase(None)),
        name => name.parse().map(|name| ChosenBase(Some(name))),
    }
}

impl Common {
    /// Returns the base image that was chosen for all recipes.
    pub fn chosen_base(&self) -> Option<&BaseName> {
        self.base.as_ref()?.0.as_ref()
    }

    /// Returns the same options with another choice.
    pub fn on_base(&self, base: Option<&BaseName>) -> Self {
        Self {
            base: base.cloned().map(|base| ChosenBase(Some(base))),
            ..self.clone()
        }
    }
}
