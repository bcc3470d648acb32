//! The service without weights: a fake codec stands in for the networks.

mod common;
mod encode;
mod health;
mod limits;
mod models;
mod overload;
mod page;
mod socket;
