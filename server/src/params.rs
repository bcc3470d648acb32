use crate::error::ApiError;
use axum::extract::Query;
use axum::http::Uri;
use bottleneck_model::ingest::{Options, parse_background};
use bottleneck_model::{Quality, Refinement};
use utoipa::IntoParams;

const KNOWN: &str = "q, target_size, effort, profile, background, frame, measure";
/// Most widths that an upload may ask for.
const MOST_WIDTHS: usize = 16;

/// The query of `POST /v1/encode`, as it is described to people.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct EncodeQuery {
    /// Quality, 0 (smallest code) to 100 (finest picture).
    #[param(minimum = 0, maximum = 100, default = 75)]
    q: Option<f64>,
    /// Largest code that may come out, in bytes: the finest quality that fits is searched, in place of q.
    #[param(minimum = 1)]
    target_size: Option<u64>,
    /// Time to spend on a better code, 0 to 9; the service's own limit goes before. Not with target_size.
    #[param(minimum = 0, maximum = 9, default = 0)]
    effort: Option<u8>,
    /// Profile or id of a model; the service's default without.
    profile: Option<String>,
    /// Colour behind transparent pixels: white, black or six hexadecimal digits.
    #[param(pattern = "^(white|black|#?[0-9a-fA-F]{6})$", default = "ffffff")]
    background: Option<String>,
    /// Frame of an animation: only the first, 0. Without it an animation is refused.
    #[param(minimum = 0)]
    frame: Option<u32>,
    /// Measures the PSNR too, at the cost of a decode.
    #[param(pattern = "^psnr$")]
    measure: Option<String>,
}

/// The query of `POST /v1/encode`.
#[derive(Debug, PartialEq)]
pub(crate) struct EncodeParams {
    pub(crate) rate: RateParam,
    /// 0 to 9.
    pub(crate) effort: u8,
    /// `None` is the service's default.
    pub(crate) profile: Option<String>,
    /// The sRGB colour put behind transparent pixels.
    pub(crate) background: [u8; 3],
    /// Frame of an animation.
    pub(crate) frame: Option<u32>,
    pub(crate) measure_psnr: bool,
}

/// How large or how fine the code is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RateParam {
    Quality(Quality),
    /// In bytes, at most.
    TargetSize(u64),
}

impl EncodeParams {
    /// Refuses unknown and repeated parameters: a typing error must not pass as the default.
    pub(crate) fn parse(uri: &Uri) -> Result<EncodeParams, ApiError> {
        EncodeParams::of(&pairs(uri)?)
    }

    fn of(pairs: &[(String, String)]) -> Result<EncodeParams, ApiError> {
        let mut params = EncodeParams {
            rate: RateParam::Quality(Quality::from_percent(75.0).unwrap_or(Quality(u16::MAX))),
            effort: 0,
            profile: None,
            background: Options::default().background,
            frame: None,
            measure_psnr: false,
        };
        for (name, value) in pairs {
            let wrong =
                |allowed: &str| ApiError::Parameter(format!("{name}: found {value:?}, allowed {allowed}"));
            match name.as_str() {
                "q" => {
                    let quality = value.parse().ok().and_then(Quality::from_percent);
                    params.rate = RateParam::Quality(quality.ok_or_else(|| wrong("0 to 100"))?);
                }
                "target_size" => {
                    // As in the OpenAPI description, which knows no unsigned numbers of 64 bits.
                    let size = value.parse::<u64>().ok();
                    let size = size.filter(|size| (1..=i64::MAX as u64).contains(size));
                    params.rate = RateParam::TargetSize(size.ok_or_else(|| wrong("a number from 1"))?);
                }
                "effort" => {
                    let effort = value.parse().ok().filter(|effort| *effort <= Refinement::MAX_EFFORT);
                    params.effort = effort.ok_or_else(|| wrong("0 to 9"))?;
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
        let given = |wanted| pairs.iter().any(|(name, _)| name == wanted);
        if given("q") && given("target_size") {
            return Err(ApiError::Parameter("q and target_size exclude each other".to_owned()));
        }
        if params.effort > 0 && given("target_size") {
            return Err(ApiError::Parameter("effort and target_size exclude each other".to_owned()));
        }
        Ok(params)
    }
}

/// The query of `POST /v1/images`, as it is described to people.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct StoreQuery {
    /// Quality, 0 (smallest code) to 100 (finest picture).
    #[param(minimum = 0, maximum = 100, default = 75)]
    q: Option<f64>,
    /// Largest code that may come out, in bytes: the finest quality that fits is searched, in place of q.
    #[param(minimum = 1)]
    target_size: Option<u64>,
    /// Time to spend on a better code, 0 to 9; the service's own limit goes before. Not with target_size.
    #[param(minimum = 0, maximum = 9, default = 0)]
    effort: Option<u8>,
    /// Profile or id of a model; the service's default without.
    profile: Option<String>,
    /// Colour behind transparent pixels: white, black or six hexadecimal digits.
    #[param(pattern = "^(white|black|#?[0-9a-fA-F]{6})$", default = "ffffff")]
    background: Option<String>,
    /// Frame of an animation: only the first, 0. Without it an animation is refused.
    #[param(minimum = 0)]
    frame: Option<u32>,
    /// Widths in pixels, such as 320,640: images of these are kept too, where they are narrower than the picture.
    #[param(pattern = "^[1-9][0-9]{0,4}(,[1-9][0-9]{0,4}){0,15}$")]
    widths: Option<String>,
}

/// The query of `POST /v1/images`.
#[derive(Debug, PartialEq)]
pub(crate) struct StoreParams {
    pub(crate) encode: EncodeParams,
    /// Each once, from the widest.
    pub(crate) widths: Vec<u32>,
}

impl StoreParams {
    pub(crate) fn parse(uri: &Uri) -> Result<StoreParams, ApiError> {
        let (widths, others): (Vec<_>, Vec<_>) =
            pairs(uri)?.into_iter().partition(|(name, _)| name == "widths");
        if others.iter().any(|(name, _)| name == "measure") {
            return Err(ApiError::Parameter("measure: only /v1/encode measures".to_owned()));
        }
        let encode = EncodeParams::of(&others)?;
        let Some((_, list)) = widths.first() else { return Ok(StoreParams { encode, widths: vec![] }) };
        let widths: Option<Vec<u32>> = list.split(',').map(width).collect();
        let mut widths = widths.filter(|widths| widths.len() <= MOST_WIDTHS).ok_or_else(|| {
            ApiError::Parameter(format!(
                "widths: found {list:?}, allowed up to {MOST_WIDTHS} such as 320,640"
            ))
        })?;
        widths.sort_unstable_by(|a, b| b.cmp(a));
        widths.dedup();
        Ok(StoreParams { encode, widths })
    }
}

/// The query of `GET /v1/images/{name}`, as it is described to people.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct ImageQuery {
    /// Width in pixels to which the picture is scaled down; it is never scaled up.
    #[param(minimum = 1, maximum = 65535)]
    w: Option<u32>,
    /// Of a signed address: until when it holds, in seconds since 1970.
    expires: Option<u64>,
    /// Of a signed address: name of the key.
    key: Option<String>,
    /// Of a signed address, its last parameter: HMAC-SHA256 of all that stands before `&signature=`, in hexadecimal.
    #[param(pattern = "^[0-9a-f]{64}$")]
    signature: Option<String>,
}

/// The query of `GET /v1/images/{name}`.
pub(crate) fn image_width(uri: &Uri) -> Result<Option<u32>, ApiError> {
    let mut wanted = None;
    for (name, value) in pairs(uri)? {
        let wrong =
            |allowed: &str| ApiError::Parameter(format!("{name}: found {value:?}, allowed {allowed}"));
        match name.as_str() {
            "w" => wanted = Some(width(&value).ok_or_else(|| wrong("1 to 65535"))?),
            // Of a signed address, which has been looked at where that matters.
            "key" => {}
            "expires" if value.parse::<i64>().is_ok_and(|seconds| seconds >= 0) => {}
            "expires" => return Err(wrong("seconds since 1970")),
            "signature" if value.len() == 64 && value.bytes().all(is_hex) => {}
            "signature" => return Err(wrong("64 hexadecimal digits")),
            _ => return Err(ApiError::Parameter(format!("unknown parameter {name:?}: known is w"))),
        }
    }
    Ok(wanted)
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// No code is wider than 65,535 pixels.
fn width(text: &str) -> Option<u32> {
    text.parse::<u16>().ok().filter(|width| *width > 0).map(u32::from)
}

/// The pairs of a query, of which none comes twice.
fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, ApiError> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| ApiError::Parameter("the query cannot be read".to_owned()))?;
    for (i, (name, _)) in pairs.iter().enumerate() {
        if pairs[..i].iter().any(|(earlier, _)| earlier == name) {
            return Err(ApiError::Parameter(format!("{name}: given twice")));
        }
    }
    Ok(pairs)
}
