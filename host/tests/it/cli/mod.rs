//! The command line: help, exit codes, settings, and the commands that ask a running host.

mod cases;
mod command_line;
mod explain;
mod operate;
mod settings;
mod topics;
