//! What the spec writer refuses, and what it writes.
