use crate::error::ApiError;
use axum::extract::Query;
use axum::http::Uri;
use bottleneck_model::Quality;
use bottleneck_model::ingest::{Options, parse_background};

const KNOWN: &str = "q, profile, background, frame, measure";

/// The query of `POST /v1/encode`.
#[derive(Debug, PartialEq)]
pub(crate) struct EncodeParams {
    pub(crate) quality: Quality,
    /// `None` is the service's default.
    pub(crate) profile: Option<String>,
    /// The sRGB colour put behind transparent pixels.
    pub(crate) background: [u8; 3],
    /// Frame of an animation.
    pub(crate) frame: Option<u32>,
    pub(crate) measure_psnr: bool,
}

impl EncodeParams {
    /// Refuses unknown and repeated parameters: a typing error must not pass as the default.
    pub(crate) fn parse(uri: &Uri) -> Result<EncodeParams, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| ApiError::Parameter("the query cannot be read".to_owned()))?;
        let mut params = EncodeParams {
            quality: Quality::from_percent(75.0).unwrap_or(Quality(u16::MAX)),
            profile: None,
            background: Options::default().background,
            frame: None,
            measure_psnr: false,
        };
        for (i, (name, value)) in pairs.iter().enumerate() {
            if pairs[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(ApiError::Parameter(format!("{name}: given twice")));
            }
            let wrong =
                |allowed: &str| ApiError::Parameter(format!("{name}: found {value:?}, allowed {allowed}"));
            match name.as_str() {
                "q" => {
                    let quality = value.parse().ok().and_then(Quality::from_percent);
                    params.quality = quality.ok_or_else(|| wrong("0 to 100"))?;
                }
                "profile" => params.profile = Some(value.clone()),
                "background" => {
                    let colour = parse_background(value);
                    params.background = colour.ok_or_else(|| wrong("a colour such as ffffff"))?;
                }
                "frame" => {
                    let frame = value.parse();
                    params.frame = Some(frame.map_err(|_| wrong("a number from 0"))?);
                }
                "measure" if value == "psnr" => params.measure_psnr = true,
                "measure" => return Err(wrong("psnr")),
                _ => {
                    let message = format!("unknown parameter {name:?}: known are {KNOWN}");
                    return Err(ApiError::Parameter(message));
                }
            }
        }
        Ok(params)
    }
}
