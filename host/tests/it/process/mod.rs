//! The process: start and stop, the log, what the machine lacks.

mod foreign_text;
mod log;
mod log_stall;
mod machine;
mod start_stop;
