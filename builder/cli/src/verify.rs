//! What `kiln verify` gives to `kiln-compare`: the outputs that are there, and rebuilds.

mod outputs;
mod rebuilder;
mod subjects;
mod words;

pub use outputs::{BuiltOutputs, Destdirs};
pub use rebuilder::ChildRebuilder;
pub use subjects::list;
pub use words::{lines, progress_line};
