//! What each command does, without printing anything.

pub mod build;
pub mod changes;
mod commit;
pub mod config;
pub mod edit;
pub mod list;
pub mod prune;
pub mod verify;
mod view;
