//! What the judge looks at, one thing a file. All of it is pure: records in, faults out.

pub mod agree;
pub mod causes;
pub mod compare;
pub mod counts;
pub mod fiemap;
pub mod hooks;
pub mod join;
pub mod left;
pub mod programs;
pub mod standby;
