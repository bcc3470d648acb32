//! The program as it is run: flags, signals, kill -9, and stores that fail. Needs a Unix.
#![cfg(unix)]

mod common;
mod drain;
mod faults;
mod hangup;
mod kill;
mod replicas;
mod start;
#[cfg(feature = "otel")]
mod traces;
