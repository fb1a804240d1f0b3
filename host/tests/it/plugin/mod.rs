//! Components: how they are compiled, what they may do, how their instances are reused.

mod author;
mod code_cache;
mod compile_limits;
mod components;
mod contract_versions;
mod guest_output;
mod isolation;
mod reused_instances;
