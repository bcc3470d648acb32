//! The HTTP contract between clients and `bottleneck-server`: names and JSON bodies.
//!
//! Unknown JSON fields are ignored when reading, so that a newer server may add some.
use crate::ModelId;
use serde::{Deserialize, Serialize};

/// Media type of a `.bnk` stream.
pub const MEDIA_TYPE: &str = "image/vnd.bottleneck";
/// Media type of an error body, a [`Problem`] (RFC 9457).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Response header: picture width in pixels.
pub const HEADER_WIDTH: &str = "x-bottleneck-width";
/// Response header: picture height in pixels.
pub const HEADER_HEIGHT: &str = "x-bottleneck-height";
/// Response header: rate, in bits of the stream per pixel of the picture.
pub const HEADER_BPP: &str = "x-bottleneck-bpp";
/// Response header: [`ModelId`] of the model that made the stream.
pub const HEADER_MODEL: &str = "x-bottleneck-model";
/// Response header, where `measure=psnr` was asked for: PSNR over RGB, in dB.
pub const HEADER_PSNR: &str = "x-bottleneck-psnr";

/// Body of every error response (RFC 9457, "problem details").
///
/// ```
/// let problem = bottleneck_proto::http::Problem {
///     kind: "about:blank".into(),
///     title: "Payload Too Large".into(),
///     status: 413,
///     detail: "body: found 80 MB, allowed 64 MB".into(),
/// };
/// assert_eq!(problem.to_string(), "413 Payload Too Large: body: found 80 MB, allowed 64 MB");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// JSON `type`: a URI that names the kind of problem; `about:blank` where the status says it all.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// Short summary, the same for each problem of this kind.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// What is wrong with this request, and what to do about it.
    #[serde(default)]
    pub detail: String,
}

fn about_blank() -> String {
    "about:blank".into()
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.title)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// One model of a server: an element of the array that `GET /v1/models` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelInfo {
    /// Names the model in streams and in `GET /v1/models/{id}/decoder`.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-f]{16}$"))]
    pub id: ModelId,
    /// Profile, such as `lite` or `base`.
    pub profile: String,
    /// Whether its streams may stop opening with a later version.
    pub experimental: bool,
    /// Size of the decoder that a client fetches, in bytes.
    pub decoder_bytes: u64,
    /// Cost of decoding, in thousands of multiply–accumulates per pixel.
    pub kmac_per_pixel_decoder: f64,
    /// Whether the server uses it when a request names no profile.
    pub default: bool,
}

/// An image that a server keeps: the code of a picture at one width.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredImage {
    /// SHA-256 of the code, in hexadecimal.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{64}$"))]
    pub id: String,
    /// Path on the server; with `.bnk`, `.webp`, `.jpg` or `.png` behind it that form, without the one that the
    /// client accepts.
    pub url: String,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Size of the code, in bytes.
    pub bytes: u64,
    /// The model that made it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[0-9a-f]{16}$"))]
    pub model: ModelId,
}

/// What `POST /v1/images` answers: the image at the picture's own width, then the narrower ones asked for, from
/// the widest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredImages {
    /// At least one.
    pub images: Vec<StoredImage>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn problem_is_rfc_9457() {
        let problem = Problem {
            kind: "about:blank".into(),
            title: "Bad Request".into(),
            status: 400,
            detail: "q: found 101, allowed 0 to 100".into(),
        };
        let body = json!({
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "q: found 101, allowed 0 to 100",
        });
        assert_eq!(serde_json::to_value(&problem).unwrap(), body);
        assert_eq!(serde_json::from_value::<Problem>(body).unwrap(), problem);
    }

    #[test]
    fn problem_reads_what_a_proxy_sends() {
        let body = json!({ "title": "Bad Gateway", "status": 502, "instance": "/v1/encode" });
        let problem: Problem = serde_json::from_value(body).unwrap();
        assert_eq!(problem.kind, "about:blank");
        assert_eq!(problem.to_string(), "502 Bad Gateway");
    }

    #[test]
    fn model_info_body() {
        let info = ModelInfo {
            id: ModelId([0xab; 8]),
            profile: "lite".into(),
            experimental: true,
            decoder_bytes: 1_234_567,
            kmac_per_pixel_decoder: 4.75,
            default: true,
        };
        let body = json!({
            "id": "abababababababab",
            "profile": "lite",
            "experimental": true,
            "decoder_bytes": 1_234_567,
            "kmac_per_pixel_decoder": 4.75,
            "default": true,
        });
        assert_eq!(serde_json::to_value(&info).unwrap(), body);
        assert_eq!(serde_json::from_value::<ModelInfo>(body).unwrap(), info);
    }
}
