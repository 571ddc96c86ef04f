//! What each command does, without printing anything.

pub mod build;
pub mod config;
pub mod list;
pub mod verify;
mod view;
