//! The OpenAPI description, made from the handlers.

use crate::{encode, health, images, info, models};
use bottleneck_proto::http::Problem;
use utoipa::{OpenApi, ToResponse, ToSchema};

#[derive(OpenApi)]
#[openapi(
    info(title = "Bottleneck", description = "Photographs in, bottleneck codes out.", license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    paths(encode::post, images::upload::post, images::image, images::delete, models::list, models::decoder, health::healthz, health::readyz, info::get),
    components(responses(Refused, Busy), schemas(Problem)),
    tags((name = "encode"), (name = "images"), (name = "models"), (name = "health")),
)]
struct Description;

/// The service's OpenAPI description, which `GET /openapi.json` answers.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Binary(#[expect(dead_code, reason = "only its description is used")] Vec<u8>);

#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct Form {
    /// The picture.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}

/// The request cannot be served.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
pub(crate) struct Refused(#[expect(dead_code, reason = "only its description is used")] Problem);

/// Not now: try again after a while.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json", headers(("retry-after" = u64, description = "Seconds")))]
pub(crate) struct Busy(#[expect(dead_code, reason = "only its description is used")] Problem);
