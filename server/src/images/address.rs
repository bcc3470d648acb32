use super::accept::Format;
use crate::store::ImageId;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;

/// An image, and the form that its address fixes.
#[derive(Debug, PartialEq)]
pub(super) struct Address {
    pub(super) id: ImageId,
    /// By the extension; without one it is the client's choice.
    pub(super) format: Option<Format>,
}

impl Address {
    /// Of the last part of a path: `ID` or `ID.webp`.
    pub(super) fn of(name: Result<Path<String>, PathRejection>) -> Option<Address> {
        let Path(name) = name.ok()?;
        let (id, extension) = match name.split_once('.') {
            Some((id, extension)) => (id, Some(extension)),
            None => (name.as_str(), None),
        };
        let id = id.parse().ok()?;
        let Some(extension) = extension else { return Some(Address { id, format: None }) };
        let format = Format::ALL.into_iter().find(|format| format.extension() == extension)?;
        Some(Address { id, format: Some(format) })
    }
}
