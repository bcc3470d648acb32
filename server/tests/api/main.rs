//! The service without weights: a fake codec stands in for the networks.

mod access;
mod common;
mod encode;
mod health;
mod images;
mod limits;
mod metrics;
mod models;
mod openapi;
mod overload;
mod page;
mod socket;
mod tls;
