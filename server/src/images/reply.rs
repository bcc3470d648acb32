//! Conditions and ranges (RFC 9110, sections 13 and 14).

use crate::access::Grant;
use crate::error::ApiError;
use crate::etag;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::response::Builder;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use http_range_header::{RangeUnsatisfiableError, parse_range_header};
use std::ops::Range;

/// In seconds: the longest that caches heed.
const YEAR: u64 = 31_536_000;

/// What a request asks of a representation, before its size is known.
pub(super) enum Asked<'a> {
    Unchanged,
    Whole,
    Range(&'a str),
}

/// What is sent of it.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Unchanged,
    Whole,
    Some(Range<u64>),
}

/// Reads the conditions of a request for what is tagged `tag`.
pub(super) fn part<'a>(method: &Method, headers: &'a HeaderMap, tag: &str) -> Asked<'a> {
    if etag::none_match(headers, tag) {
        return Asked::Unchanged;
    }
    let same = headers.get(IF_RANGE).is_none_or(|value| value == tag);
    match headers.get(RANGE).and_then(|range| range.to_str().ok()) {
        Some(range) if same && method == Method::GET => Asked::Range(range),
        _ => Asked::Whole,
    }
}

impl Asked<'_> {
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Asked::Whole)
    }

    /// Of a representation of `size` bytes. Ranges that cannot be read, and several at once, are not heeded:
    /// the whole is sent.
    pub(super) fn of(&self, size: u64) -> Result<Part, ApiError> {
        let range = match self {
            Asked::Unchanged => return Ok(Part::Unchanged),
            Asked::Whole => return Ok(Part::Whole),
            Asked::Range(range) => parse_range_header(range).and_then(|ranges| ranges.validate(size)),
        };
        match range.as_deref() {
            Ok([one]) => Ok(Part::Some(*one.start()..one.end() + 1)),
            Err(RangeUnsatisfiableError::Unsatisfiable) => Err(ApiError::Range { size }),
            _ => Ok(Part::Whole),
        }
    }
}

/// How long others may keep an answer, and what it depends on.
pub(super) struct Caching {
    pub(super) grant: Grant,
    /// Chosen by the header Accept.
    pub(super) negotiated: bool,
}

impl Caching {
    /// The head of an answer with a representation.
    pub(super) fn answer(&self, media_type: &str, tag: &str) -> Answer {
        // The id is a hash of the code, so that nothing about it can change; but who may see it can.
        let (who, seconds) = match self.grant {
            Grant::Open => ("public", YEAR),
            Grant::Key => ("private", YEAR),
            Grant::Signed { left } => ("public", left.min(YEAR)),
        };
        let mut head = Response::builder()
            .header(ETAG, tag)
            .header(CACHE_CONTROL, format!("{who}, max-age={seconds}, immutable"));
        if self.negotiated {
            head = head.header(VARY, "accept");
        }
        Answer { head, media_type: media_type.to_owned() }
    }
}

pub(super) struct Answer {
    head: Builder,
    media_type: String,
}

impl Answer {
    pub(super) fn unchanged(self) -> Response {
        finish(self.head.status(StatusCode::NOT_MODIFIED), Body::empty())
    }

    pub(super) fn whole(self, size: u64, body: Body) -> Response {
        finish(self.described(size), body)
    }

    /// `body` holds the bytes of `range`.
    pub(super) fn some(self, range: Range<u64>, size: u64, body: Body) -> Response {
        let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        let head = self.described(range.end - range.start).status(StatusCode::PARTIAL_CONTENT);
        finish(head.header(CONTENT_RANGE, content_range), body)
    }

    fn described(self, length: u64) -> Builder {
        self.head
            .header(CONTENT_TYPE, self.media_type)
            .header(CONTENT_LENGTH, length)
            .header(ACCEPT_RANGES, "bytes")
            .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
    }
}

fn finish(head: Builder, body: Body) -> Response {
    head.body(body).expect("headers made of our own words are valid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn sent(method: Method, headers: &[(HeaderName, &'static str)]) -> Result<Part, ApiError> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        part(&method, &headers, "\"abc\"").of(10)
    }

    #[test]
    fn one_range_is_sent_alone_and_the_rest_whole() {
        for (range, part) in [
            ("bytes=0-3", Part::Some(0..4)),
            ("bytes=4-", Part::Some(4..10)),
            ("bytes=-3", Part::Some(7..10)),
            ("bytes=8-100", Part::Some(8..10)),
            ("bytes=-100", Part::Some(0..10)),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=3-1", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("nonsense", Part::Whole),
        ] {
            assert_eq!(sent(Method::GET, &[(RANGE, range)]).unwrap(), part, "{range}");
        }
        assert!(matches!(sent(Method::GET, &[(RANGE, "bytes=10-")]), Err(ApiError::Range { size: 10 })));
        assert_eq!(sent(Method::HEAD, &[(RANGE, "bytes=0-3")]).unwrap(), Part::Whole);
    }

    #[test]
    fn conditions_come_before_ranges() {
        let range = (RANGE, "bytes=0-3");
        let get = |headers: &[_]| sent(Method::GET, headers).unwrap();
        assert_eq!(get(&[(IF_RANGE, "\"abc\""), range.clone()]), Part::Some(0..4));
        for other in ["\"abd\"", "W/\"abc\"", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(get(&[(IF_RANGE, other), range.clone()]), Part::Whole, "{other}");
        }
        assert_eq!(get(&[(axum::http::header::IF_NONE_MATCH, "\"abc\""), range]), Part::Unchanged);
        assert_eq!(get(&[]), Part::Whole);
    }
}
