//! The history under faults, many writers, maintenance, damage, and for long: at the end the tables hold
//! each row once, and the frontier tells which.

mod commits;
mod damage;
mod faulty;
mod maintenance;
#[path = "../rows/mod.rs"]
mod rows;
mod soak;
mod steps;

// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
