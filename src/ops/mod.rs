//! What each command does, without printing anything.

pub mod build;
pub mod list;
pub mod verify;
