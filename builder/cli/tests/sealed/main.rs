//! The real command on a small project of its own: sources that the test makes and serves, built in
//! the base image that `make rpms` left in the repository's store. Run by `make test-slow`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not go on has failed"
)]

mod bases;
mod builds;
mod bundles;
mod caches;
mod corpus;
mod escapes;
mod failures;
mod full;
mod git_sources;
mod interrupts;
mod limits;
mod links;
mod oddities;
mod other_base;
mod packages;
mod places;
mod project;
mod refusals;
mod registry;
mod repository;
mod server;
mod services;
mod shell;
mod signing;
mod stores;
mod terminal;
mod tools;
mod upstream;
mod varied;
mod verification;
