//! The store: on a PostgreSQL server; its file, crashes, backups, copies, a disk that is full, damaged, gone or slow.

mod backups;
mod clock;
mod copies;
mod crash;
mod crash_points;
mod damage;
mod file;
mod file_modes;
mod files_gone;
mod hosts;
mod hosts_shown;
mod server;
mod server_commands;
mod server_faults;
mod server_kills;
mod server_others;
mod standstill;
