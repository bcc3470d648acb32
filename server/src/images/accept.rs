use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use bottleneck_proto::http::MEDIA_TYPE;
use headers_accept::Accept;
use mediatype::{MediaType, MediaTypeBuf};

/// Forms in which an image is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Format {
    Code,
    WebP,
    Jpeg,
    Png,
}

impl Format {
    /// By preference, where the client has none.
    pub(super) const ALL: [Format; 4] = [Format::Code, Format::WebP, Format::Jpeg, Format::Png];

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Code => MEDIA_TYPE,
            Format::WebP => "image/webp",
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
        }
    }

    pub(super) fn extension(self) -> &'static str {
        match self {
            Format::Code => "bnk",
            Format::WebP => "webp",
            Format::Jpeg => "jpg",
            Format::Png => "png",
        }
    }
}

/// The form that suits a client; `None` where none does.
///
/// `*/*` says nothing of codes, nor of WebP: who can show them names them.
pub(super) fn chosen(headers: &HeaderMap) -> Option<Format> {
    let values: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    // A header that cannot be read asks for nothing.
    let accept =
        values.join(",").parse::<Accept>().ok().filter(|accept| accept.media_types().next().is_some());
    let Some(accept) = accept else { return Some(Format::Jpeg) };
    let named = |format: &Format| {
        let is_it =
            |range: &MediaTypeBuf| range.essence().to_string().eq_ignore_ascii_case(format.media_type());
        matches!(format, Format::Jpeg | Format::Png) || accept.media_types().any(is_it)
    };
    let available: Vec<(Format, MediaType<'_>)> = Format::ALL
        .into_iter()
        .filter(named)
        .filter_map(|format| Some((format, MediaType::parse(format.media_type()).ok()?)))
        .collect();
    let best = accept.negotiate(available.iter().map(|(_, media_type)| media_type))?;
    available.iter().find(|(_, media_type)| media_type == best).map(|(format, _)| *format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn clients_get_what_they_can_show() {
        let of = |values: &[&'static str]| {
            chosen(&values.iter().map(|value| (ACCEPT, HeaderValue::from_static(value))).collect())
        };
        // Chromium, Firefox, Safari of old, curl, and nothing at all.
        let chromium = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
        assert_eq!(of(&[chromium]), Some(Format::WebP));
        assert_eq!(of(&["image/avif,image/webp,*/*"]), Some(Format::WebP));
        assert_eq!(of(&["image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"]), Some(Format::Png));
        assert_eq!(of(&["*/*"]), Some(Format::Jpeg));
        assert_eq!(of(&["image/*"]), Some(Format::Jpeg));
        assert_eq!(of(&[]), Some(Format::Jpeg));
        assert_eq!(of(&["image/vnd.bottleneck"]), Some(Format::Code));
        assert_eq!(of(&["image/webp;q=0.5", "Image/VND.Bottleneck"]), Some(Format::Code));
        assert_eq!(of(&["image/vnd.bottleneck;q=0.1, image/png"]), Some(Format::Png));
        assert_eq!(of(&["image/vnd.bottleneck;q=0, image/*"]), Some(Format::Jpeg));
        assert_eq!(of(&["text/html"]), None);
        assert_eq!(of(&["image/avif, image/jpeg;q=0"]), None);
    }
}
