//! Vectors: cases whose results others computed.
//!
//! Each module is one set. A set prints its rate, and lists what it does not reach with the reason. The
//! cases are read where they lie (`DEPLOYFORGE_FIXTURES`); a missing folder fails.

mod azure;
mod demo;
mod kubernetes;
mod mutate;
mod set01;
mod set02;
mod set03;
mod set04;
mod set05;
mod set06;
mod set07;
mod set08;
mod set08_scan;
mod set09;
mod set10;
mod set11;
mod set11_items;
mod set12;
mod set13;
mod set14;
mod set15;
mod support;
mod tally;
